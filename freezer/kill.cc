#include "freezer/kill.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "freezer/backend.h"
#include "freezer/frozen_scope.h"
#include "freezer/kernel_names.h"

namespace ckpt::freezer {
namespace {

// Plenty for tasks that can be frozen.
constexpr absl::Duration kFreezeLimit = absl::Milliseconds(500);

class RealSignaller : public Signaller {
 public:
  absl::Status Send(pid_t pid, int signal) override {
    if (::kill(pid, signal) == 0) return absl::OkStatus();
    return ErrnoToStatus(errno, "signal process", absl::StrCat(pid));
  }
};

// Those that have not been.  One that cannot be keeps no other from it.
absl::Status SignalAll(Cgroup& group, int signal, Signaller& signaller,
                       std::set<pid_t>& signalled, pid_t spared = 0) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> pids,
                        group.SubtreeProcesses());
  absl::Status first_error;
  int failed = 0;
  for (const pid_t pid : pids) {
    // 0: of another PID namespace.
    if (pid <= 0 || pid == spared || signalled.count(pid) > 0) continue;
    const absl::Status sent = signaller.Send(pid, signal);
    if (sent.ok()) {
      signalled.insert(pid);
    } else if (!absl::IsNotFound(sent)) {
      if (failed++ == 0) first_error = sent;
    }
  }
  if (failed == 0) return absl::OkStatus();
  return WithMessage(
      first_error,
      absl::StrCat(first_error.message(), "; of cgroup ", group.path(), " ",
                   failed, " process(es) did not get the signal, and ",
                   signalled.size(), " did"));
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

// v2 before Linux 5.14 has no cgroup.kill: as v1.
absl::Status SendKill(Cgroup& group, Signaller& signaller,
                      std::set<pid_t>& signalled) {
  if (group.hierarchy() == v1::HIERARCHY_V1) {
    return SignalAll(group, SIGKILL, signaller, signalled);
  }
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> pids,
                        group.SubtreeProcesses());
  absl::Status killed = group.Write(kV2KillFile, "1");
  if (absl::IsNotFound(killed)) {
    return SignalAll(group, SIGKILL, signaller, signalled);
  }
  if (killed.ok()) signalled.insert(pids.begin(), pids.end());
  return killed;
}

absl::Status KillFrozen(Freezer& freezer, const KillOptions& options,
                        Signaller& signaller, std::set<pid_t>& signalled) {
  CKPT_ASSIGN_OR_RETURN(const v1::CgroupStatus before,
                        freezer.GetStatus(/*with_tasks=*/false));
  // A request that stands holds most of a group that cannot be frozen.
  absl::Status frozen =
      freezer
          .Freeze({.deadline = std::min(options.deadline,
                                        freezer.clock().Now() + kFreezeLimit),
                   .cancel = options.cancel,
                   .on_busy = v1::ON_BUSY_KEEP})
          .status();
  if (absl::IsNotFound(frozen) || absl::IsCancelled(frozen)) return frozen;
  const absl::Status sent = SendKill(freezer.group(), signaller, signalled);
  // Dead tasks leave v1 only when thawed, and a frozen empty group would refuse
  // the next restore.
  const bool freeze_again = !sent.ok() && before.self_freezing();
  absl::Status thawed = freezer.WriteRequest(freeze_again);
  if (thawed.ok() && sent.ok()) thawed = ThawBelow(freezer.group());
  return AppendError(sent, "giving the group back", thawed);
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

absl::Status NotEmpty(Cgroup& group) {
  const auto pids = group.SubtreeProcesses();
  if (!pids.ok() || pids->empty()) {
    return absl::DeadlineExceededError(absl::StrCat(
        "cgroup ", group.path(), " is not empty yet; SIGKILL was sent to all"));
  }
  return absl::DeadlineExceededError(
      absl::StrCat(pids->size(), " process(es) of cgroup ", group.path(),
                   " have not ended, the first is ", pids->front(),
                   "; SIGKILL was sent to all"));
}

// NotFound when the group is gone.
absl::StatusOr<bool> IsEmpty(Cgroup& group) {
  if (group.hierarchy() == v1::HIERARCHY_V2) {
    // The kernel tells of this file's changes: WaitForChange() waits for one.
    CKPT_ASSIGN_OR_RETURN(const std::string events, group.Read(kV2EventsFile));
    return absl::StrContains(events, kV2Empty);
  }
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> pids,
                        group.SubtreeProcesses());
  return pids.empty();
}

absl::Status WaitUntilEmpty(Freezer& freezer, const KillOptions& options,
                            Signaller& signaller, std::set<pid_t>& signalled) {
  Cgroup& group = freezer.group();
  const bool has_event = group.hierarchy() == v1::HIERARCHY_V2;
  absl::Duration pause =
      has_event ? absl::Milliseconds(100) : absl::Microseconds(100);
  while (true) {
    const auto empty = IsEmpty(group);
    if (absl::IsNotFound(empty.status())) return absl::OkStatus();
    CKPT_RETURN_IF_ERROR(empty.status());
    if (*empty) return absl::OkStatus();
    const absl::Duration left = options.deadline - freezer.clock().Now();
    if (left <= absl::ZeroDuration()) return NotEmpty(group);
    CKPT_RETURN_IF_ERROR(SignalAll(group, SIGKILL, signaller, signalled));
    const absl::Status waited =
        group.WaitForChange(std::min(pause, left), options.cancel);
    if (absl::IsCancelled(waited)) {
      return absl::CancelledError(
          absl::StrCat("cancelled; SIGKILL was sent to all ", signalled.size(),
                       " process(es) of cgroup ", group.path(),
                       ", which may not have ended yet"));
    }
    CKPT_RETURN_IF_ERROR(waited);
    if (!has_event) pause = std::min(2 * pause, absl::Milliseconds(10));
  }
}

absl::Status SignalFrozen(Freezer& freezer, int signal,
                          const KillOptions& options, Signaller& signaller,
                          std::set<pid_t>& signalled) {
  const auto scope = FrozenScope::Enter(
      freezer, {.deadline = options.deadline, .cancel = options.cancel});
  if (!scope.ok()) {
    return WithMessage(scope.status(), absl::StrCat(scope.status().message(),
                                                    "; no signal was sent"));
  }
  const absl::Status sent =
      SignalAll(freezer.group(), signal, signaller, signalled, options.spared);
  return AppendError(sent, "giving the group back", (*scope)->Leave());
}

// Signals go to processes, and this is a group of threads.
absl::Status CheckHoldsProcesses(Cgroup& group) {
  const auto type = group.Read(kV2TypeFile);  // v1 has none
  if (!type.ok() || absl::StripSuffix(*type, "\n") != kV2Threaded) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "cgroup ", group.path(),
      " is a group of threads (cgroup.type: threaded), and a signal goes to "
      "whole processes; signal the group above that holds them; nothing was "
      "sent"));
}

}  // namespace

Signaller& Signaller::Real() {
  static RealSignaller& signaller = *new RealSignaller;
  return signaller;
}

absl::StatusOr<v1::KillReport> KillGroup(Freezer& freezer, int signal,
                                         const KillOptions& options,
                                         Signaller& signaller) {
  Cgroup& group = freezer.group();
  CKPT_RETURN_IF_ERROR(CheckMayTouch(group));
  CKPT_RETURN_IF_ERROR(CheckHoldsProcesses(group));
  v1::KillReport report;
  report.set_cgroup(group.path());
  report.set_signal(signal);
  std::set<pid_t> signalled;
  if (signal == SIGKILL) {
    if (group.hierarchy() == v1::HIERARCHY_V1) {
      CKPT_RETURN_IF_ERROR(CheckNoAncestorIsFrozen(freezer));
    }
    CKPT_RETURN_IF_ERROR(KillFrozen(freezer, options, signaller, signalled));
    CKPT_RETURN_IF_ERROR(
        WaitUntilEmpty(freezer, options, signaller, signalled));
    report.set_empty(true);
  } else {
    CKPT_RETURN_IF_ERROR(
        SignalFrozen(freezer, signal, options, signaller, signalled));
    CKPT_ASSIGN_OR_RETURN(const auto left, group.SubtreeProcesses());
    report.set_empty(left.empty());
  }
  report.set_processes(static_cast<int32_t>(signalled.size()));
  return report;
}

}  // namespace ckpt::freezer
