#include "node/groups.h"

#include <signal.h>

#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/proc.h"
#include "base/status.h"
#include "freezer/freezer.h"
#include "freezer/group_lease.h"
#include "freezer/group_set.h"
#include "freezer/group_status.h"
#include "freezer/kill.h"
#include "freezer/lookup.h"
#include "freezer/state_watch.h"

namespace ckpt::node {
namespace {

using Guarded = std::unique_ptr<freezer::GuardedGroups>;
using Groups = std::vector<std::unique_ptr<freezer::Cgroup>>;

template <typename Request>
absl::StatusOr<Groups> FindGroups(const Request& request) {
  if (request.cgroups().empty()) {
    return absl::InvalidArgumentError("name the group: --cgroup X");
  }
  Groups groups;
  for (const std::string& name : request.cgroups()) {
    CKPT_ASSIGN_OR_RETURN(auto group,
                          freezer::FindCgroup(name, request.hierarchy()));
    for (const auto& other : groups) {
      if (other->hierarchy() == group->hierarchy() &&
          other->id() == group->id()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "cgroup ", group->path(), " is named twice; nothing was touched"));
      }
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

absl::Time DeadlineIn(double seconds) {
  return Clock::Real().Now() +
         absl::Seconds(seconds > 0 ? seconds : kDefaultTimeoutSeconds);
}

// Tells of the lease in the report of a group that is frozen.
void AddLease(const freezer::GuardedGroups& groups, size_t i, double seconds,
              v1::FreezeReport& report) {
  if (groups.has_lease(i)) report.set_lease_seconds(seconds);
}

absl::StatusOr<FrozenGroups> FreezeOne(Guarded groups, double lease_seconds,
                                       const freezer::FreezeOptions& options) {
  auto report = groups->freezer(0).Freeze(options);
  if (!report.ok()) {
    return AppendError(report.status(), "guardian", groups->Release());
  }
  CKPT_RETURN_IF_ERROR(FaultPoint("freeze.frozen"));
  AddLease(*groups, 0, lease_seconds, *report);
  FrozenGroups frozen;
  *frozen.response.mutable_one() = *std::move(report);
  frozen.guarded = std::move(groups);
  return frozen;
}

absl::StatusOr<FrozenGroups> FreezeSeveral(Guarded groups, double lease_seconds,
                                           const freezer::SetOptions& options) {
  FrozenGroups frozen;
  v1::FreezeSetReport& report = *frozen.response.mutable_several();
  report = freezer::FreezeAll(*groups, options);
  CKPT_RETURN_IF_ERROR(FaultPoint("freeze.frozen"));
  bool any_frozen = false;
  for (int i = 0; i < report.groups_size(); ++i) {
    v1::FreezeSetEntry& entry = *report.mutable_groups(i);
    if (entry.code() != 0) continue;
    any_frozen = true;
    AddLease(*groups, static_cast<size_t>(i), lease_seconds,
             *entry.mutable_report());
  }
  if (any_frozen) frozen.guarded = std::move(groups);
  return frozen;
}

// A lease has nothing left to do once the own request is taken back.
void EndLeases(freezer::GuardedGroups& groups) {
  for (size_t i = 0; i < groups.size(); ++i) {
    freezer::Freezer& freezer = groups.freezer(i);
    if (!groups.taken(i).ok()) continue;
    const auto status = freezer.GetStatus(/*with_tasks=*/false);
    if (status.ok() && !status->self_freezing()) {
      freezer::EndLease(freezer.group());
    }
  }
}

// A group that was emptied by SIGKILL is thawed; its lease is over.
void EndLeaseOfEmpty(const v1::KillReport& report, freezer::Freezer& freezer) {
  if (report.empty() && report.signal() == SIGKILL) {
    freezer::EndLease(freezer.group());
  }
}

absl::StatusOr<v1::CgroupStatus> Describe(freezer::Cgroup& group) {
  freezer::Freezer freezer(group, ProcFs::Real(), Clock::Real());
  return freezer::DescribeGroup(freezer, /*with_tasks=*/true);
}

// What a watch waits for, if anything.
std::string Goal(const v1::WatchRequest& request) {
  if (request.until_removed()) return "REMOVED";
  std::string name = v1::FreezerState_Name(request.until());
  constexpr absl::string_view kPrefix = "FREEZER_STATE_";
  return request.until() == v1::FREEZER_STATE_UNSPECIFIED
             ? ""
             : name.substr(kPrefix.size());
}

bool IsReached(const v1::WatchRequest& request,
               const freezer::StateWatch& watch) {
  if (request.until_removed()) return watch.AllRemoved();
  return request.until() != v1::FREEZER_STATE_UNSPECIFIED &&
         watch.AllIn(request.until());
}

}  // namespace

absl::StatusOr<FrozenGroups> Freeze(const v1::FreezeRequest& request,
                                    int output_fd, const Cancellation* cancel) {
  if (request.all_or_nothing() && request.on_busy() == v1::ON_BUSY_KEEP) {
    return absl::InvalidArgumentError(
        "--all-or-nothing gives a busy group back, and --on-busy keep leaves "
        "it FREEZING: choose one; nothing was touched");
  }
  if (request.lease_seconds() > 0 && request.on_busy() == v1::ON_BUSY_KEEP) {
    return absl::InvalidArgumentError(
        "a lease (--for) begins with a freeze that is complete, and --on-busy "
        "keep may leave one that nothing would end: choose one; nothing was "
        "touched");
  }
  freezer::SetOptions options;
  options.all_or_nothing = request.all_or_nothing();
  options.each.cancel = cancel;
  options.each.list_tasks = request.list_tasks();
  options.each.on_busy = request.on_busy() == v1::ON_BUSY_KEEP
                             ? v1::ON_BUSY_KEEP
                             : v1::ON_BUSY_CANCEL;
  CKPT_ASSIGN_OR_RETURN(auto groups, FindGroups(request));
  const bool several = groups.size() > 1;
  const double lease = request.lease_seconds();
  freezer::GuardedGroups::Options guard;
  guard.output_fd = output_fd;
  guard.skip_refused = several && !options.all_or_nothing;
  if (lease > 0) guard.lease = absl::Seconds(lease);
  CKPT_ASSIGN_OR_RETURN(auto guarded,
                        freezer::GuardedGroups::Take(std::move(groups), guard));
  options.each.deadline = DeadlineIn(request.timeout_seconds());
  return several ? FreezeSeveral(std::move(guarded), lease, options)
                 : FreezeOne(std::move(guarded), lease, options.each);
}

absl::StatusOr<v1::FreezeResponse> Thaw(const v1::ThawRequest& request,
                                        const Cancellation* cancel) {
  freezer::SetOptions options;
  options.all_or_nothing = request.all_or_nothing();
  options.each.cancel = cancel;
  CKPT_ASSIGN_OR_RETURN(auto groups, FindGroups(request));
  const bool several = groups.size() > 1;
  freezer::GuardedGroups::Options guard;
  guard.skip_refused = several && !options.all_or_nothing;
  // A thaw that is cut short is completed: nothing is ever frozen by it.
  guard.hold.needs_journal = options.all_or_nothing;
  if (!options.all_or_nothing) guard.hold.give_back_frozen = false;
  CKPT_ASSIGN_OR_RETURN(auto guarded,
                        freezer::GuardedGroups::Take(std::move(groups), guard));
  options.each.deadline = DeadlineIn(request.timeout_seconds());
  v1::FreezeResponse response;
  if (several) {
    *response.mutable_several() = freezer::ThawAll(*guarded, options);
    EndLeases(*guarded);
    return response;
  }
  auto report = guarded->freezer(0).Thaw(options.each);
  EndLeases(*guarded);
  CKPT_RETURN_IF_ERROR(report.status());
  *response.mutable_one() = *std::move(report);
  return response;
}

absl::StatusOr<v1::KillResponse> Kill(const v1::KillRequest& request,
                                      const Cancellation* cancel) {
  const int signal = request.signal() == 0 ? SIGKILL : request.signal();
  if (signal < 1 || signal >= NSIG) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no signal ", signal, "; nothing was touched"));
  }
  CKPT_ASSIGN_OR_RETURN(auto groups, FindGroups(request));
  const bool several = groups.size() > 1;
  freezer::GuardedGroups::Options guard;
  guard.skip_refused = several;
  if (signal == SIGKILL) {
    // Killed tasks leave a v1 group only when it is thawed, whatever it was.
    guard.hold.give_back_frozen = false;
    guard.hold.needs_journal = false;
  }
  CKPT_ASSIGN_OR_RETURN(auto guarded,
                        freezer::GuardedGroups::Take(std::move(groups), guard));
  const freezer::KillOptions options = {
      .deadline = DeadlineIn(request.timeout_seconds()), .cancel = cancel};
  v1::KillResponse response;
  if (several) {
    v1::KillSetReport& report = *response.mutable_several();
    report = freezer::KillAll(*guarded, signal, options);
    for (int i = 0; i < report.groups_size(); ++i) {
      EndLeaseOfEmpty(report.groups(i).report(),
                      guarded->freezer(static_cast<size_t>(i)));
    }
    return response;
  }
  auto report = freezer::KillGroup(guarded->freezer(0), signal, options);
  if (!report.ok()) {
    return AppendError(report.status(), "guardian", guarded->Release());
  }
  EndLeaseOfEmpty(*report, guarded->freezer(0));
  CKPT_RETURN_IF_ERROR(guarded->Release());
  *response.mutable_one() = *std::move(report);
  return response;
}

absl::StatusOr<v1::StatusResponse> Status(const v1::StatusRequest& request) {
  CKPT_ASSIGN_OR_RETURN(const Groups groups, FindGroups(request));
  v1::StatusResponse response;
  if (groups.size() == 1) {
    CKPT_ASSIGN_OR_RETURN(*response.mutable_one(), Describe(*groups[0]));
    return response;
  }
  for (const auto& group : groups) {
    v1::StatusSetEntry& entry = *response.mutable_several()->add_groups();
    entry.set_cgroup(group->path());
    const auto status = Describe(*group);
    if (status.ok()) {
      *entry.mutable_status() = *status;
    } else {
      entry.set_code(static_cast<int>(status.status().code()));
      entry.set_error(std::string(status.status().message()));
    }
  }
  return response;
}

absl::Status Watch(
    const v1::WatchRequest& request, const Cancellation* cancel,
    const std::function<absl::Status(const v1::WatchEvent&)>& emit) {
  const std::string goal = Goal(request);
  const absl::Time deadline =
      request.seconds() > 0
          ? Clock::Real().Now() + absl::Seconds(request.seconds())
          : absl::InfiniteFuture();
  CKPT_ASSIGN_OR_RETURN(auto groups, FindGroups(request));
  CKPT_ASSIGN_OR_RETURN(const auto watch,
                        freezer::StateWatch::Start(std::move(groups)));
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto events, watch->Wait(deadline, cancel));
    for (const v1::WatchEvent& event : events) {
      CKPT_RETURN_IF_ERROR(emit(event));
    }
    if (IsReached(request, *watch)) return absl::OkStatus();
    if (watch->AllRemoved()) {
      if (goal.empty()) return absl::OkStatus();
      return absl::AbortedError(
          absl::StrCat("there is no group left that could become ", goal));
    }
    // Events without a pause must not outlast the deadline.
    if (Clock::Real().Now() >= deadline) {
      if (goal.empty()) return absl::OkStatus();
      return absl::DeadlineExceededError(
          absl::StrCat("not ", goal, " within ", request.seconds(),
                       " s; nothing was touched"));
    }
  }
}

absl::StatusOr<v1::VerifyFreezeReport> VerifyFreeze(
    const std::string& cgroup, v1::Hierarchy hierarchy,
    const freezer::TreeOptions& tree) {
  if (tree.root <= 0) {
    return absl::InvalidArgumentError(
        "name the root process of the tree: --tree PID");
  }
  CKPT_ASSIGN_OR_RETURN(const auto group,
                        freezer::FindCgroup(cgroup, hierarchy));
  if (group->is_root()) {
    return absl::FailedPreconditionError(
        absl::StrCat("cgroup ", group->path(),
                     " is the root of its hierarchy, which is never frozen"));
  }
  freezer::Freezer freezer(*group, ProcFs::Real(), Clock::Real());
  return freezer::VerifyFreeze(freezer, ProcFs::Real(), tree);
}

absl::Status Verdict(const v1::FreezeResponse& response) {
  return freezer::FirstError(response.several());
}

absl::Status Verdict(const v1::KillResponse& response) {
  return freezer::FirstError(response.several());
}

absl::Status Verdict(const v1::StatusResponse& response) {
  for (const v1::StatusSetEntry& entry : response.several().groups()) {
    if (entry.code() != 0) {
      return absl::Status(static_cast<absl::StatusCode>(entry.code()),
                          entry.error());
    }
  }
  return absl::OkStatus();
}

}  // namespace ckpt::node
