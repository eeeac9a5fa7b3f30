#include "freezer/freezer.h"

#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "freezer/evidence.h"
#include "freezer/kernel_names.h"

namespace ckpt::freezer {
namespace {

// How long the way back after a failure may take.
constexpr absl::Duration kWayBackLimit = absl::Seconds(5);
// Later than nearly every freeze that succeeds: a look takes some 10 us a
// thread.
constexpr absl::Duration kFirstLook = absl::Milliseconds(100);
// How many blockers a message names; the report has all.
constexpr int kNamed = 5;
// Between two looks at a group that says FROZEN before its tasks are: no event
// tells of them.
constexpr absl::Duration kDoubtfulPause = absl::Milliseconds(1);

absl::Status VanishedGroup(const std::string& path) {
  return absl::AbortedError(absl::StrCat(
      "cgroup ", path, " was removed while it was being frozen or thawed"));
}

// Linux (6.18) calls a v2 group that has groups below it frozen as soon as all
// of those are, or its own tasks: cgroup_propagate_frozen() does not count
// both.  So they are looked at one by one.
absl::StatusOr<bool> SubtreeIsFrozen(Cgroup& group, ProcFs& proc,
                                     UntoldWait untold) {
  if (group.hierarchy() != v1::HIERARCHY_V2) return true;
  CKPT_ASSIGN_OR_RETURN(const auto children, group.Children());
  if (children.empty()) return true;
  if (!OwnThreadsLookFrozen(group, proc, untold)) return false;
  for (const auto& child : children) {
    const auto files = MakeBackend(*child)->Read();
    if (absl::IsNotFound(files.status())) continue;  // removed meanwhile
    CKPT_RETURN_IF_ERROR(files.status());
    if (files->effective != v1::FREEZER_STATE_FROZEN) return false;
    auto frozen = SubtreeIsFrozen(*child, proc, untold);
    if (absl::IsNotFound(frozen.status())) continue;  // removed meanwhile
    if (!frozen.ok() || !*frozen) return frozen;
  }
  return true;
}

// Directory and threads, as text, of a group and those below it: to compare
// lists of thousands takes less than to parse them.
using ThreadLists = std::vector<std::pair<std::string, std::string>>;

absl::Status AddThreadLists(Cgroup& group, ThreadLists& lists) {
  CKPT_ASSIGN_OR_RETURN(
      std::string list,
      group.Read(group.hierarchy() == v1::HIERARCHY_V1 ? kV1TasksFile
                                                       : kV2ThreadsFile));
  lists.emplace_back(group.path(), std::move(list));
  CKPT_ASSIGN_OR_RETURN(const auto children, group.Children());
  for (const auto& child : children) {
    absl::Status added = AddThreadLists(*child, lists);
    if (!added.ok() && !absl::IsNotFound(added)) return added;
  }
  return absl::OkStatus();
}

absl::StatusOr<ThreadLists> ReadThreadLists(Cgroup& group) {
  ThreadLists lists;
  CKPT_RETURN_IF_ERROR(AddThreadLists(group, lists));
  return lists;
}

// Every listed thread as FROZEN, which the kernel has said of them all.
void ReportFrozen(const ThreadLists& lists, const std::string& group,
                  v1::FreezeReport& report) {
  report.clear_tasks();
  for (const auto& [path, list] : lists) {
    for (const absl::string_view line :
         absl::StrSplit(list, '\n', absl::SkipEmpty())) {
      v1::TaskInfo& task = *report.add_tasks();
      int32_t tid = 0;  // 0: a task outside our PID namespace
      (void)absl::SimpleAtoi(line, &tid);
      task.set_tid(tid);
      task.set_frozen(true);
      if (path != group) task.set_cgroup(path);
    }
  }
  report.set_threads(report.tasks_size());
}

std::string NameBlockers(const v1::FreezeReport& report) {
  if (report.blockers().empty()) {
    return "no single thread could be made out as the cause";
  }
  std::string names;
  int named = 0;
  for (const v1::TaskInfo& task : report.blockers()) {
    if (named++ == kNamed) {
      absl::StrAppend(&names, " and ", report.blockers_size() - kNamed,
                      " more");
      break;
    }
    absl::StrAppend(&names, named == 1 ? "not frozen: " : ", ", task.tid(),
                    " (", task.comm(), ", state ", task.state(),
                    task.wchan().empty() ? "" : ", in ", task.wchan(), ")");
  }
  return names;
}

std::string StateWord(v1::FreezerState state) {
  // FREEZER_STATE_FROZEN -> FROZEN
  constexpr size_t kPrefix = sizeof("FREEZER_STATE_") - 1;
  return v1::FreezerState_Name(state).substr(kPrefix);
}

}  // namespace

Freezer::Freezer(Cgroup& group, ProcFs& proc, Clock& clock)
    : group_(group), proc_(proc), clock_(clock), backend_(MakeBackend(group)) {}

absl::StatusOr<std::string> Freezer::FrozenAncestor() {
  absl::string_view path = group_.path();
  for (int up = 1; up < levels_to_root_; ++up) {
    path = path.substr(0, path.rfind('/'));
    const auto asks = backend_->ReadRequest(up);
    if (absl::IsNotFound(asks.status())) {  // the root has no such file
      levels_to_root_ = up;
      break;
    }
    CKPT_RETURN_IF_ERROR(asks.status());
    if (*asks) return std::string(path);
  }
  return std::string();
}

absl::StatusOr<v1::CgroupStatus> Freezer::GetStatus(bool with_tasks) {
  v1::CgroupStatus status;
  status.set_cgroup(group_.path());
  status.set_hierarchy(group_.hierarchy());
  if (group_.is_root()) {
    // The root group has no freezer: it always runs.
    status.set_state(v1::FREEZER_STATE_THAWED);
    status.set_kernel_state(v1::FREEZER_STATE_THAWED);
    return status;
  }
  CKPT_ASSIGN_OR_RETURN(const FreezerFiles files, backend_->Read());
  status.set_self_freezing(files.self_request);
  status.set_state(files.effective);
  CKPT_ASSIGN_OR_RETURN(const std::string ancestor, FrozenAncestor());
  status.set_frozen_ancestor(ancestor);
  if (!ancestor.empty() && files.effective == v1::FREEZER_STATE_THAWED) {
    // v2: an ancestor asks, and the tasks are on their way.
    status.set_state(v1::FREEZER_STATE_FREEZING);
  }
  if (status.state() == v1::FREEZER_STATE_FROZEN) {
    CKPT_ASSIGN_OR_RETURN(
        const bool frozen,
        SubtreeIsFrozen(group_, proc_, UntoldWait::kIsBelieved));
    // Where nobody asks for a freeze, v2 was read in the middle of a thaw.
    const bool is_asked = files.self_request || !ancestor.empty();
    if (!frozen) {
      status.set_state(is_asked ? v1::FREEZER_STATE_FREEZING
                                : v1::FREEZER_STATE_THAWED);
    }
  }
  status.set_kernel_state(status.state());
  if (with_tasks) {
    CKPT_RETURN_IF_ERROR(group_.Threads().status());
    for (v1::TaskInfo& task : DescribeTasks(group_, proc_, status.state())) {
      *status.add_tasks() = std::move(task);
    }
  }
  return status;
}

absl::StatusOr<bool> Freezer::ThreadsAreStable(v1::FreezeReport& report) {
  CKPT_ASSIGN_OR_RETURN(const ThreadLists first, ReadThreadLists(group_));
  CKPT_ASSIGN_OR_RETURN(const ThreadLists second, ReadThreadLists(group_));
  // Reading the state last: a task that joined in between made it FREEZING.
  // What is read here is reported: read once more, it may have changed again.
  CKPT_ASSIGN_OR_RETURN(*report.mutable_after(), GetStatus(false));
  if (first != second || report.after().state() != v1::FREEZER_STATE_FROZEN) {
    return false;
  }
  const bool has_groups_below = second.size() > 1;
  if (has_groups_below) {
    CKPT_ASSIGN_OR_RETURN(
        const bool frozen,
        SubtreeIsFrozen(group_, proc_, UntoldWait::kIsNotFrozen));
    if (!frozen) return false;
  }
  ReportFrozen(second, group_.path(), report);
  return true;
}

absl::Status Freezer::WaitForStep(int attempt, absl::Duration limit,
                                  const FreezeOptions& options,
                                  v1::FreezeReport& report) {
  absl::Duration left = options.deadline - clock_.Now();
  if (left <= absl::ZeroDuration()) {
    return absl::UnavailableError("deadline passed");
  }
  left = std::min(left, limit);
  bool rewritten = false;
  CKPT_RETURN_IF_ERROR(backend_->WaitForProgress(
      attempt, /*freezing=*/true, left, clock_, options.cancel, rewritten));
  if (rewritten) report.set_refreezes(report.refreezes() + 1);
  return absl::OkStatus();
}

absl::Status Freezer::WaitFrozen(const FreezeOptions& options,
                                 BlockerWatch& watch,
                                 v1::FreezeReport& report) {
  // A first look at who is not frozen, for how long it has been so at the end.
  const absl::Time start = clock_.Now();
  absl::Time look_at =
      start + std::min((options.deadline - start) / 10, kFirstLook);
  for (int attempt = 0;; ++attempt) {
    CKPT_ASSIGN_OR_RETURN(const FreezerFiles files, backend_->Read());
    // Even if it is FROZEN, by an ancestor: that one's thaw would let it run.
    if (!files.self_request) {
      return absl::AbortedError(
          absl::StrCat("the freeze of cgroup ", group_.path(),
                       " was cancelled: somebody thawed it meanwhile"));
    }
    absl::Duration limit = absl::InfiniteDuration();
    if (files.effective == v1::FREEZER_STATE_FROZEN) {
      CKPT_ASSIGN_OR_RETURN(const bool stable, ThreadsAreStable(report));
      if (stable) return absl::OkStatus();
      limit = kDoubtfulPause;
    }
    if (clock_.Now() >= look_at) {
      watch.Look();
      look_at = absl::InfiniteFuture();
    }
    limit = std::min(limit, look_at - clock_.Now());
    CKPT_RETURN_IF_ERROR(WaitForStep(attempt, limit, options, report));
  }
}

absl::StatusOr<v1::FreezeReport> Freezer::Freeze(const FreezeOptions& options) {
  CKPT_RETURN_IF_ERROR(CheckMayTouch(group_));
  v1::FreezeReport report;
  CKPT_ASSIGN_OR_RETURN(*report.mutable_before(), GetStatus(false));
  const absl::Time start = clock_.Now();
  if (start >= options.deadline) {
    return absl::DeadlineExceededError(absl::StrCat(
        "no time left to freeze cgroup ", group_.path(),
        ", which is as it was (", StateWord(report.before().state()), ")"));
  }
  BlockerWatch watch(group_, proc_, clock_);
  absl::Status status = backend_->Request(true);
  if (status.ok()) status = WaitFrozen(options, watch, report);
  report.set_seconds(absl::ToDoubleSeconds(clock_.Now() - start));
  if (!status.ok()) {
    return FailFreeze(std::move(status), options, watch, std::move(report));
  }
  if (options.list_tasks) ListTasks(v1::FREEZER_STATE_FROZEN, report);
  return report;
}

absl::Status Freezer::GiveBack(const v1::CgroupStatus& before) {
  absl::Status status = backend_->Request(before.self_freezing());
  if (status.ok() && !before.self_freezing() &&
      before.frozen_ancestor().empty()) {
    status = Thaw({.deadline = clock_.Now() + kWayBackLimit}).status();
  }
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

void Freezer::ListTasks(v1::FreezerState state, v1::FreezeReport& report) {
  report.clear_tasks();
  std::set<pid_t> blockers;
  for (const v1::TaskInfo& task : report.blockers()) {
    blockers.insert(task.tid());
  }
  for (v1::TaskInfo& task : DescribeTasks(group_, proc_, state)) {
    if (blockers.count(task.tid()) > 0) task.set_frozen(false);
    *report.add_tasks() = std::move(task);
  }
}

absl::Status Freezer::FailFreeze(absl::Status why, const FreezeOptions& options,
                                 BlockerWatch& watch, v1::FreezeReport report) {
  if (absl::IsNotFound(why)) return VanishedGroup(group_.path());
  const bool timed_out = absl::IsUnavailable(why);
  const bool keep = timed_out && options.on_busy == v1::ON_BUSY_KEEP;
  if (timed_out) {
    for (v1::TaskInfo& task : watch.FindBlockers()) {
      *report.add_blockers() = std::move(task);
    }
  }
  ListTasks(v1::FREEZER_STATE_FREEZING, report);
  const absl::Status back = keep ? absl::OkStatus() : GiveBack(report.before());
  if (auto now = GetStatus(false); now.ok()) *report.mutable_after() = *now;
  const std::string state = StateWord(report.after().state());
  if (timed_out) {
    why = absl::UnavailableError(absl::StrCat(
        "cgroup ", group_.path(), " did not freeze within ",
        absl::FormatDuration(absl::Trunc(absl::Seconds(report.seconds()),
                                         absl::Milliseconds(1))),
        " (EBUSY): ", NameBlockers(report), "; ",
        keep ? absl::StrCat("it is left ", state,
                            ", as asked, and freezes when those tasks leave "
                            "or can be frozen; 'ckpt freeze' again waits for "
                            "that, 'ckpt thaw' cancels")
             : absl::StrCat("the group is ", state,
                            " again; retry, or end those tasks")));
  } else {
    why = WithMessage(
        why, absl::StrCat(why.message(), "; the group is ", state, " again"));
  }
  why =
      AppendError(std::move(why),
                  absl::StrCat("giving cgroup ", group_.path(), " back"), back);
  why.SetPayload(kReportUrl, absl::Cord(report.SerializeAsString()));
  return why;
}

absl::StatusOr<v1::FreezeReport> Freezer::Thaw(const FreezeOptions& options) {
  v1::FreezeReport report;
  CKPT_ASSIGN_OR_RETURN(*report.mutable_before(), GetStatus(false));
  if (group_.is_root()) {
    *report.mutable_after() = report.before();
    return report;
  }
  const absl::Time start = clock_.Now();
  CKPT_RETURN_IF_ERROR(backend_->Request(false));
  for (int attempt = 0;; ++attempt) {
    CKPT_ASSIGN_OR_RETURN(*report.mutable_after(), GetStatus(false));
    report.set_seconds(absl::ToDoubleSeconds(clock_.Now() - start));
    if (!report.after().frozen_ancestor().empty()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "cgroup ", group_.path(), " is thawed itself, but its ancestor ",
          report.after().frozen_ancestor(),
          " keeps it frozen; thaw that group"));
    }
    if (report.after().state() == v1::FREEZER_STATE_THAWED) return report;
    const absl::Duration left = options.deadline - clock_.Now();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(absl::StrCat(
          "cgroup ", group_.path(), " is still ",
          StateWord(report.after().state()), "; its own request is THAWED"));
    }
    bool rewritten = false;
    CKPT_RETURN_IF_ERROR(backend_->WaitForProgress(
        attempt, /*freezing=*/false, left, clock_, options.cancel, rewritten));
  }
}

absl::StatusOr<v1::FreezeReport> Freezer::SetState(
    v1::FreezerState state, const FreezeOptions& options) {
  if (state == v1::FREEZER_STATE_FROZEN) return Freeze(options);
  if (state == v1::FREEZER_STATE_THAWED) return Thaw(options);
  return absl::InvalidArgumentError(absl::StrCat(
      StateWord(state), " is not asked for; ask for FROZEN or THAWED; cgroup ",
      group_.path(), " was not touched"));
}

}  // namespace ckpt::freezer
