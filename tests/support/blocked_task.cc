#include "tests/support/blocked_task.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/clock.h"
#include "base/status.h"
#include "tests/support/blocked_task_kinds.h"
#include "tests/support/cgroup_cleaner.h"
#include "tests/support/spawn.h"

namespace ckpt {

const char* BlockedTask::KindName(Kind kind) {
  return kind == Kind::kPageFault ? "PageFault" : "FuseRead";
}

absl::StatusOr<std::unique_ptr<BlockedTask>> BlockedTask::Start(
    Kind kind, const std::vector<const TestCgroup*>& cgroups) {
  return kind == Kind::kPageFault ? PageFaultTask::Start(cgroups)
                                  : FuseReadTask::Start(cgroups);
}

absl::Status BlockedTask::Fork(const std::vector<const TestCgroup*>& cgroups,
                               int kept_fd,
                               const std::function<void()>& block) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoToStatus(errno, "pipe2");
  unblocked_.Reset(ends[0]);
  const UniqueFd unblocked(ends[1]);
  for (const TestCgroup* cgroup : cgroups) {
    cgroup_paths_.push_back(cgroup->path());
  }
  const std::vector<std::string> groups = ProcsPaths(cgroups);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) return ErrnoToStatus(errno, "fork");
  if (pid_ > 0) return absl::OkStatus();

  ResetSignals();
  ::prctl(PR_SET_NAME, "blocked-task");
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent || !JoinCgroups(groups)) ::_exit(1);
  for (int fd = 3; fd < 1024; ++fd) {
    if (fd != kept_fd && fd != unblocked.get()) ::close(fd);
  }
  block();
  (void)!::write(unblocked.get(), "u", 1);
  for (;;) ::pause();
}

BlockedTask::~BlockedTask() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  for (const std::string& path : cgroup_paths_) ThawWithTestAncestors(path);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

absl::Status BlockedTask::AwaitUnblocked(absl::Time deadline) {
  pollfd event = {unblocked_.get(), POLLIN, 0};
  for (;;) {
    const absl::Duration left = deadline - Clock::Real().Now();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError("the task is still blocked");
    }
    const int timeout_ms = static_cast<int>(absl::ToInt64Milliseconds(left));
    if (::poll(&event, 1, timeout_ms + 1) > 0) break;
  }
  if ((event.revents & POLLIN) != 0) return absl::OkStatus();
  return absl::AbortedError("the task has ended");
}

}  // namespace ckpt
