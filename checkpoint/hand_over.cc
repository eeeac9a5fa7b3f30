#include "checkpoint/hand_over.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"

namespace ckpt::checkpoint {

absl::StatusOr<std::string> CheckHandOver(const v1::DumpRequest& request,
                                          const HandOver* over) {
  if (over == nullptr) return std::string();
  if (request.no_freezer() || request.leave_running() ||
      request.leave_frozen()) {
    return absl::InvalidArgumentError(
        "a job that is handed over is frozen by its group, and ends here; "
        "nothing was touched");
  }
  CKPT_ASSIGN_OR_RETURN(
      const std::string directory,
      ReadLink(absl::StrCat("/proc/self/fd/", over->decision_dir_fd)));
  return absl::StrCat(directory, "/", over->decision_name);
}

namespace {

absl::Status TooMany(size_t processes) {
  rlimit limit = {};
  (void)::getrlimit(RLIMIT_NOFILE, &limit);
  return absl::ResourceExhaustedError(absl::StrCat(
      "the job has ", processes,
      " processes, and of each a descriptor is "
      "needed to let it leave, but only ",
      limit.rlim_cur,
      " may be open here: "
      "raise the limit (ulimit -n, LimitNOFILE= of ckptd's unit)"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<LeavingTree>> LeavingTree::Open(
    const std::vector<pid_t>& tree, ProcFs& proc) {
  auto leaving = std::make_unique<LeavingTree>();
  for (const pid_t pid : tree) {
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd.ok()) {
      if (errno == EMFILE) return TooMany(tree.size());
      return ErrnoToStatus(errno, "hold on to process", absl::StrCat(pid));
    }
    CKPT_ASSIGN_OR_RETURN(const ThreadStat stat, proc.Stat(pid));
    leaving->processes_.push_back({pid, stat.start_ticks});
    leaving->pidfds_.push_back(std::move(pidfd));
  }
  return leaving;
}

absl::Status LeavingTree::TakeConnections(const std::vector<pid_t>& tree,
                                          int image_dir_fd) {
  CKPT_ASSIGN_OR_RETURN(connections_,
                        KeptConnections::Open(tree, image_dir_fd));
  return absl::OkStatus();
}

GivenJob LeavingTree::Given() const {
  GivenJob job;
  job.processes = processes_;
  if (connections_ != nullptr) job.network_lock = connections_->lock();
  return job;
}

absl::Status LeavingTree::GoOn(absl::Status why) const {
  return AppendError(std::move(why), "letting connections go on",
                     connections_->GoOn());
}

void LeavingTree::Kill() const {
  for (const UniqueFd& pidfd : pidfds_) {
    (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  }
}

void LeavingTree::AddKill(PreparedSteps& steps) const {
  for (const UniqueFd& pidfd : pidfds_) steps.AddKill(pidfd.get());
}

void LeavingTree::AddWait(PreparedSteps& steps, absl::Duration limit) const {
  for (const UniqueFd& pidfd : pidfds_) steps.AddWaitExit(pidfd.get(), limit);
}

}  // namespace ckpt::checkpoint
