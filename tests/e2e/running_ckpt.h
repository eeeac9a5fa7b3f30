// A ckpt that is under way: to be killed, stopped at a fault point, or have its
// CRIU killed.
//
//   RunningCkpt dump(ckpt.CommandLine({"dump", ...}), "dump.frozen=stop");
//   ASSERT_TRUE(dump.WaitUntilStopped(Soon()));
//   dump.KillCriu();
//   dump.Continue();
//   const int status = dump.Wait();
#ifndef CKPT_TESTS_E2E_RUNNING_CKPT_H_
#define CKPT_TESTS_E2E_RUNNING_CKPT_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace ckpt {

// Not thread-safe.
class RunningCkpt {
 public:
  // Starts it with CKPT_FAULT=`fault` ("" for none); what it prints is kept.
  RunningCkpt(const std::vector<std::string>& argv, const std::string& fault);
  ~RunningCkpt();  // SIGKILL if it still runs
  RunningCkpt(const RunningCkpt&) = delete;
  RunningCkpt& operator=(const RunningCkpt&) = delete;

  pid_t pid() const { return pid_; }

  // False when it ended, or did not stop by `deadline`.
  bool WaitUntilStopped(absl::Time deadline);
  void Continue();
  void Signal(int signal);

  // Pid of its CRIU, or 0 when there is none.
  pid_t CriuPid() const;
  // SIGKILL; false when there is no CRIU.
  bool KillCriu();

  // The same for its guardian, which is dead when this returns.
  bool KillGuardian();

  // Exit status, or 128 + N for signal N.
  int Wait();
  // What it has printed so far to stderr and stdout.
  std::string ReadErrors() { return ReadAll(errors_); }
  std::string ReadOutput() { return ReadAll(output_); }
  // False when it has not printed so many lines to stdout by `deadline`.
  bool WaitForLines(int count, absl::Time deadline);

 private:
  static std::string ReadAll(const UniqueFd& file);
  // A child whose command line matches, or 0.
  pid_t FindChild(
      const std::function<bool(const std::string& command)>& matches) const;

  pid_t pid_ = -1;
  UniqueFd errors_, output_;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_E2E_RUNNING_CKPT_H_
