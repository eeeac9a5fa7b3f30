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

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
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

  // Thaws the task's groups, or it would not die, kills and reaps it.
  virtual ~BlockedTask();

  BlockedTask(const BlockedTask&) = delete;
  BlockedTask& operator=(const BlockedTask&) = delete;

  pid_t pid() const { return pid_; }

  // Gives the task what it waits for: it returns to user space as soon as it
  // may run, and then sleeps interruptibly until killed.  Once only.
  virtual absl::Status Unblock() = 0;

  // Waits until the task has noticed; it cannot while its group is freezing.
  absl::Status AwaitUnblocked(absl::Time deadline);

 protected:
  BlockedTask() = default;

  // Forks the task: it joins the groups, keeps no descriptor but `kept_fd` and
  // stdin to stderr, calls `block`, and when that returns says so and sleeps.
  absl::Status Fork(const std::vector<const TestCgroup*>& cgroups, int kept_fd,
                    const std::function<void()>& block);

 private:
  std::vector<std::string> cgroup_paths_;
  pid_t pid_ = -1;
  UniqueFd unblocked_;  // readable when the task has left the kernel
};

}  // namespace ckpt

#endif  // CKPT_TESTS_SUPPORT_BLOCKED_TASK_H_
