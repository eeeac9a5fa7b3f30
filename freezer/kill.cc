#include "freezer/kill.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "freezer/backend.h"
#include "freezer/frozen_scope.h"
#include "freezer/kernel_names.h"

namespace ckpt::freezer {
namespace {

class RealSignaller : public Signaller {
 public:
  absl::Status Send(pid_t pid, int signal) override {
    if (::kill(pid, signal) == 0) return absl::OkStatus();
    return ErrnoToStatus(errno, "signal process", absl::StrCat(pid));
  }
};

absl::Status SignalAll(Cgroup& group, int signal, Signaller& signaller,
                       std::set<pid_t>& signalled) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> pids,
                        group.SubtreeProcesses());
  for (const pid_t pid : pids) {
    if (pid <= 0) continue;  // of another PID namespace
    absl::Status sent = signaller.Send(pid, signal);
    if (sent.ok()) {
      signalled.insert(pid);
    } else if (!absl::IsNotFound(sent)) {
      return sent;
    }
  }
  return absl::OkStatus();
}

// Takes back the requests of all groups below `group`.
absl::Status ThawBelow(Cgroup& group) {
  CKPT_ASSIGN_OR_RETURN(const auto children, group.Children());
  for (const auto& child : children) {
    absl::Status status = MakeBackend(*child)->Request(false);
    if (status.ok()) status = ThawBelow(*child);
    if (!status.ok() && !absl::IsNotFound(status)) return status;
  }
  return absl::OkStatus();
}

absl::Status KillByFreezing(Freezer& freezer, absl::Time deadline,
                            Signaller& signaller, std::set<pid_t>& signalled) {
  // Half a second is plenty for tasks that can freeze; those that cannot are
  // killed by signalling again and again.
  const absl::Time freeze_deadline =
      std::min(deadline, freezer.clock().Now() + absl::Milliseconds(500));
  auto scope = FrozenScope::Enter(freezer, {.deadline = freeze_deadline});
  CKPT_RETURN_IF_ERROR(
      SignalAll(freezer.group(), SIGKILL, signaller, signalled));
  // Dead tasks leave only when thawed, whatever the origin was.
  CKPT_RETURN_IF_ERROR(scope.ok() ? (*scope)->LeaveThawed()
                                  : freezer.WriteRequest(false));
  return ThawBelow(freezer.group());
}

// A task of v1 that is frozen does not die.
absl::Status CheckNoAncestorIsFrozen(Freezer& freezer) {
  CKPT_ASSIGN_OR_RETURN(const v1::CgroupStatus status,
                        freezer.GetStatus(/*with_tasks=*/false));
  if (status.frozen_ancestor().empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "cgroup ", status.cgroup(), " is kept frozen by its ancestor ",
      status.frozen_ancestor(),
      ", and its tasks cannot end before that is thawed; nothing was killed"));
}

absl::Status WaitUntilEmpty(Freezer& freezer, absl::Time deadline,
                            Signaller& signaller, std::set<pid_t>& signalled) {
  Cgroup& group = freezer.group();
  absl::Duration pause = absl::Microseconds(100);
  while (true) {
    const auto pids = group.SubtreeProcesses();
    if (absl::IsNotFound(pids.status())) return absl::OkStatus();
    CKPT_RETURN_IF_ERROR(pids.status());
    if (pids->empty()) return absl::OkStatus();
    if (freezer.clock().Now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat(pids->size(), " process(es) of cgroup ", group.path(),
                       " have not ended, the first is ", pids->front(),
                       "; SIGKILL was sent to all"));
    }
    CKPT_RETURN_IF_ERROR(SignalAll(group, SIGKILL, signaller, signalled));
    freezer.clock().Sleep(pause);
    pause = std::min(2 * pause, absl::Milliseconds(10));
  }
}

}  // namespace

Signaller& Signaller::Real() {
  static RealSignaller& signaller = *new RealSignaller;
  return signaller;
}

absl::StatusOr<v1::KillReport> KillGroup(Freezer& freezer, int signal,
                                         absl::Time deadline,
                                         Signaller& signaller) {
  Cgroup& group = freezer.group();
  CKPT_RETURN_IF_ERROR(CheckMayTouch(group));
  v1::KillReport report;
  report.set_cgroup(group.path());
  report.set_signal(signal);
  std::set<pid_t> signalled;
  if (signal != SIGKILL) {
    CKPT_ASSIGN_OR_RETURN(const auto scope,
                          FrozenScope::Enter(freezer, {.deadline = deadline}));
    CKPT_RETURN_IF_ERROR(SignalAll(group, signal, signaller, signalled));
    CKPT_RETURN_IF_ERROR(scope->Leave());
    report.set_processes(static_cast<int32_t>(signalled.size()));
    CKPT_ASSIGN_OR_RETURN(const auto left, group.SubtreeProcesses());
    report.set_empty(left.empty());
    return report;
  }
  if (group.hierarchy() == v1::HIERARCHY_V2) {
    CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> pids,
                          group.SubtreeProcesses());
    signalled.insert(pids.begin(), pids.end());
    const absl::Status killed = group.Write(kV2KillFile, "1");
    // Before Linux 5.14 there is no such file.
    if (absl::IsNotFound(killed)) {
      CKPT_RETURN_IF_ERROR(
          KillByFreezing(freezer, deadline, signaller, signalled));
    } else {
      CKPT_RETURN_IF_ERROR(killed);
      // As on v1: a frozen empty group would refuse the next restore.
      CKPT_RETURN_IF_ERROR(freezer.WriteRequest(false));
    }
  } else {
    CKPT_RETURN_IF_ERROR(CheckNoAncestorIsFrozen(freezer));
    CKPT_RETURN_IF_ERROR(
        KillByFreezing(freezer, deadline, signaller, signalled));
  }
  CKPT_RETURN_IF_ERROR(WaitUntilEmpty(freezer, deadline, signaller, signalled));
  report.set_processes(static_cast<int32_t>(signalled.size()));
  report.set_empty(true);
  return report;
}

}  // namespace ckpt::freezer
