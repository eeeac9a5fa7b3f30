// A parent that waits for its child with WUNTRACED | WCONTINUED, as a shell
// does, and tells what it has been told.
//
//   WatchingParent parent;
//   ::kill(parent.child(), SIGSTOP);
//   EXPECT_EQ(parent.NextReport(), "stopped by 19");
//   parent.KillChild();
//   EXPECT_EQ(parent.NextReport(), "killed by 9");
//   EXPECT_EQ(parent.NextReport(), "SIGCHLD received 2 times");
#ifndef CKPT_TESTS_TRANSPARENCY_WATCHING_PARENT_H_
#define CKPT_TESTS_TRANSPARENCY_WATCHING_PARENT_H_

#include <sys/types.h>

#include <string>

#include "base/unique_fd.h"

namespace ckpt {

// Not thread-safe; to be made while the test has one thread.
class WatchingParent {
 public:
  // Forks both, in the caller's groups.  The parent waits, the child sleeps.
  WatchingParent();
  ~WatchingParent();  // kills both
  WatchingParent(const WatchingParent&) = delete;
  WatchingParent& operator=(const WatchingParent&) = delete;

  pid_t parent() const { return parent_; }
  pid_t child() const { return child_; }
  void KillChild() const;

  // What waitpid() returned next: "stopped by N", "continued", "killed by N";
  // after the latter, how many signals came.  "(none)" after a minute without
  // one.
  std::string NextReport() const;

 private:
  UniqueFd reports_;
  pid_t parent_ = -1;
  pid_t child_ = -1;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_TRANSPARENCY_WATCHING_PARENT_H_
