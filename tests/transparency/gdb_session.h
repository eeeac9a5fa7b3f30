// A gdb with a program that it has started, by its machine interface (gdb/mi).
//
//   GdbSession gdb("/path/of/program");
//   gdb.Do("-break-insert main");
//   gdb.Do("-exec-run");
//   EXPECT_EQ(gdb.NextStop(), "breakpoint-hit");
//
// Every stop that gdb reports is kept in order until NextStop() takes it, so
// that none is overlooked.
#ifndef CKPT_TESTS_TRANSPARENCY_GDB_SESSION_H_
#define CKPT_TESTS_TRANSPARENCY_GDB_SESSION_H_

#include <sys/types.h>

#include <deque>
#include <string>

#include "base/unique_fd.h"

namespace ckpt {

// Not thread-safe.  Whatever gdb does not answer within a minute is answered
// with "(none)".
class GdbSession {
 public:
  // Starts gdb, in asynchronous mode: it takes commands while the program runs.
  explicit GdbSession(const std::string& program);
  ~GdbSession();  // kills gdb and the program
  GdbSession(const GdbSession&) = delete;
  GdbSession& operator=(const GdbSession&) = delete;

  pid_t gdb() const { return gdb_; }
  // Pid of the program, once it has been started.
  pid_t inferior() const { return inferior_; }

  // Gives a command and returns its result record, without token and "^":
  // "done,value=\"3\"", "running", "error,msg=...".
  std::string Do(const std::string& command);

  // The value of an integer expression in the stopped program.
  int Evaluate(const std::string& expression);

  // Waits for the next stop, and returns its reason: "breakpoint-hit",
  // "end-stepping-range", or the signal's name.
  std::string NextStop();

 private:
  // Reads one line, and keeps it if it tells of a stop.
  bool ReadRecord(std::string& record);

  UniqueFd to_;
  UniqueFd from_;
  pid_t gdb_ = -1;
  pid_t inferior_ = -1;
  int commands_ = 0;
  std::string unread_;
  std::deque<std::string> stops_;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_TRANSPARENCY_GDB_SESSION_H_
