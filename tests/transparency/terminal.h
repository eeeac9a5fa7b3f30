// A pseudo-terminal with a program in it, to be typed at and read from.
//
//   Terminal terminal({"/bin/bash", "-i"}, {"PS1=ready> "});
//   terminal.ReadUntil("ready> ");
//   terminal.Type("echo a");
//   EXPECT_EQ(terminal.ReadUntil("ready> "), "a\nready> ");
//
// The terminal neither echoes nor changes ends of lines.
#ifndef CKPT_TESTS_TRANSPARENCY_TERMINAL_H_
#define CKPT_TESTS_TRANSPARENCY_TERMINAL_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace ckpt {

// Not thread-safe.
class Terminal {
 public:
  // The program leads a session of its own, with the terminal as controlling
  // one; `environment` is all that it has.
  Terminal(const std::vector<std::string>& argv,
           const std::vector<std::string>& environment);
  ~Terminal();  // kills all processes of the session
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  pid_t pid() const { return pid_; }

  // Types a line.
  void Type(absl::string_view line);

  // All output since the last call up to the end of `text`; without it at the
  // end, when it did not come within a minute.
  std::string ReadUntil(absl::string_view text);

  // Output that is there now, beyond what has been read.
  std::string ReadAvailable();

  pid_t ForegroundProcessGroup() const;

 private:
  // False at the end, or when nothing came in time.
  bool ReadSome(int timeout_ms);

  UniqueFd master_;
  pid_t pid_ = -1;
  std::string unread_;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_TRANSPARENCY_TERMINAL_H_
