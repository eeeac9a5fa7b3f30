// A task that the freezer cannot freeze, on demand.
//
//   CKPT_ASSIGN_OR_RETURN(auto blocked,
//                         BlockedTask::Start(BlockedTask::Kind::kPageFault,
//                                            {group.get()}));
//   group->RequestFreeze();           // stays FREEZING: blocked->pid() is in
//   it blocked->Unblock();               // now it can be frozen
//
// The task is a child of the caller, in the kernel and waiting there for
// something that only the caller can give it, in a way that the freezer has no
// hook for.  It can be killed.  It waits from the moment Start() returns until
// Unblock(), or until the caller is gone.
#ifndef CKPT_TESTS_SUPPORT_BLOCKED_TASK_H_
#define CKPT_TESTS_SUPPORT_BLOCKED_TASK_H_

#include <sys/types.h>

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {

// Not thread-safe.
class BlockedTask {
 public:
  enum class Kind {
    // write() of a page that a userfaultfd holds back.  While a v2 group is
    // freezing, the task spins: it takes a whole CPU.
    kPageFault,
    // read() of a file whose FUSE server does not answer.
    kFuseRead,
  };
  static const char* KindName(Kind kind);  // "PageFault", "FuseRead"

  // The task joins `cgroups`, blocks, and then this returns.  Its comm is
  // "blocked-task".  Unimplemented when the kernel lacks userfaultfd or FUSE,
  // PermissionDenied when it is not for the caller.
  static absl::StatusOr<std::unique_ptr<BlockedTask>> Start(
      Kind kind, const std::vector<const TestCgroup*>& cgroups);

  // Kills and reaps the task; it must not be in a frozen v1 group.
  virtual ~BlockedTask() = default;

  pid_t pid() const { return pid_; }

  // Gives the task what it waits for: it returns to user space as soon as it
  // may run, and then sleeps interruptibly until killed.  Once only.
  virtual absl::Status Unblock() = 0;

  // Waits until the task has noticed; it cannot while its group is freezing.
  absl::Status AwaitUnblocked(absl::Time deadline);

 protected:
  BlockedTask() = default;
  pid_t pid_ = -1;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_SUPPORT_BLOCKED_TASK_H_
