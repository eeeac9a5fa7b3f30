#include "freezer/verify.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "freezer/evidence.h"

namespace ckpt::freezer {
namespace {

// How many tasks a message names; the report has all.
constexpr size_t kNamed = 5;

std::string GroupOfTask(ProcFs& proc, pid_t tid, v1::Hierarchy hierarchy) {
  const auto text = proc.Read(tid, "cgroup");
  if (!text.ok()) return "";
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    const std::vector<absl::string_view> controllers =
        absl::StrSplit(fields[1], ',');
    const bool matches =
        hierarchy == v1::HIERARCHY_V2
            ? fields[0] == "0"
            : std::count(controllers.begin(), controllers.end(), "freezer") > 0;
    if (matches) return std::string(fields[2]);
  }
  return "";
}

template <typename Tasks>
std::string NameTasks(const Tasks& tasks) {
  std::vector<std::string> names;
  for (const v1::TaskInfo& task : tasks) {
    if (names.size() == kNamed) {
      names.push_back(absl::StrCat("and ", tasks.size() - kNamed, " more"));
      break;
    }
    names.push_back(absl::StrCat(
        task.tid(), " (", task.comm(),
        task.cgroup().empty() ? "" : absl::StrCat(", in ", task.cgroup()),
        ")"));
  }
  return absl::StrJoin(names, ", ");
}

// Describes `tasks` and the groups that they are in.
void Describe(ProcFs& proc, v1::Hierarchy hierarchy,
              const std::vector<TaskId>& tasks,
              google::protobuf::RepeatedPtrField<v1::TaskInfo>& list) {
  for (const TaskId& id : tasks) {
    if (id.tid == 0) {  // a task of another PID namespace: it has no number
      list.Add()->set_comm("of another PID namespace");
      continue;
    }
    auto task = DescribeThread(proc, id.tid);
    if (!task.ok() || task->state() == "Z" || task->state() == "X") continue;
    task->set_cgroup(GroupOfTask(proc, id.tid, hierarchy));
    *list.Add() = *std::move(task);
  }
}

std::vector<TaskId> Difference(const std::vector<TaskId>& from,
                               const std::vector<TaskId>& without) {
  std::vector<TaskId> rest;
  std::set_difference(from.begin(), from.end(), without.begin(), without.end(),
                      std::back_inserter(rest));
  return rest;
}

absl::Status WithReport(absl::Status status, const v1::FreezeReport& report) {
  status.SetPayload(kReportUrl, absl::Cord(report.SerializeAsString()));
  return status;
}

absl::Status Judge(Cgroup& group, pid_t root, bool strays_below,
                   const v1::FreezeReport& report) {
  std::vector<std::string> reasons;
  if (report.strays_size() > 0) {
    reasons.push_back(absl::StrCat(
        report.strays_size(), " task(s) of the tree of process ", root,
        " are outside cgroup ", group.path(), ": ", NameTasks(report.strays()),
        "; move them into it (cgroup.procs) and retry",
        strays_below ? ", or count groups below it, too (--subtree)" : ""));
  }
  if (report.outsiders_size() > 0) {
    reasons.push_back(absl::StrCat(
        report.outsiders_size(), " task(s) in cgroup ", group.path(),
        " do not belong to the tree of process ", root, ": ",
        NameTasks(report.outsiders()),
        "; they would not be in the image: move them out of it and retry"));
  }
  if (reasons.empty()) return absl::OkStatus();
  return WithReport(
      absl::FailedPreconditionError(absl::StrJoin(reasons, "; and ")), report);
}

absl::Status NobodyThere(ProcFs& proc, const TreeOptions& options) {
  const std::string root = DescribeTask(proc, options.root);
  return absl::NotFoundError(
      options.except == 0
          ? absl::StrCat("process ", root, ", the root of the tree, has ended")
          : absl::StrCat("the tree of process ", root,
                         " has no process besides the exception ",
                         options.except, ": there is nothing to freeze"));
}

void FindUnfrozen(Cgroup& group, ProcFs& proc, v1::FreezeReport& report) {
  for (v1::TaskInfo& task : FindBlockers(group, proc)) {
    *report.add_blockers() = std::move(task);
  }
}

// Linux tells too early that a v2 group with groups below it is frozen: so
// their tasks are looked at one by one.
bool IsFrozen(Cgroup& group, ProcFs& proc, v1::FreezeReport& report) {
  if (report.before().state() != v1::FREEZER_STATE_FROZEN) return false;
  if (group.hierarchy() != v1::HIERARCHY_V2) return true;
  const auto children = group.Children();
  if (children.ok() && !children->empty()) FindUnfrozen(group, proc, report);
  return report.blockers().empty();
}

absl::Status NotFrozen(Cgroup& group, ProcFs& proc, v1::FreezeReport& report) {
  if (report.before().state() == v1::FREEZER_STATE_THAWED) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cgroup ", group.path(), " is THAWED; freeze it (ckpt freeze)"));
  }
  if (report.blockers().empty()) FindUnfrozen(group, proc, report);
  return WithReport(
      absl::FailedPreconditionError(absl::StrCat(
          "cgroup ", group.path(), " is FREEZING, not FROZEN",
          report.blockers().empty()
              ? ""
              : absl::StrCat("; not frozen: ", NameTasks(report.blockers())),
          "; wait for it, or thaw it (ckpt thaw)")),
      report);
}

}  // namespace

absl::StatusOr<Census> CompareTreeWithGroup(Cgroup& group, ProcFs& proc,
                                            const TreeOptions& options,
                                            v1::FreezeReport& report) {
  bool stable = false;
  CKPT_ASSIGN_OR_RETURN(Census census,
                        TakeStableCensus(group, proc, options, stable));
  if (census.tree.empty()) return NobodyThere(proc, options);
  const std::vector<TaskId> members = census.Members(options.subtree);
  const std::vector<TaskId> all = census.Members(/*subtree=*/true);
  const std::vector<TaskId> strays = Difference(census.tree, members);
  report.clear_strays();
  report.clear_outsiders();
  Describe(proc, group.hierarchy(), strays, *report.mutable_strays());
  // Those in groups below, too: they are frozen with the tree.
  Describe(proc, group.hierarchy(), Difference(all, census.tree),
           *report.mutable_outsiders());
  report.set_threads(static_cast<int32_t>(members.size()));
  const bool strays_below = Difference(strays, all).size() < strays.size();
  CKPT_RETURN_IF_ERROR(Judge(group, options.root, strays_below, report));
  if (stable) return census;
  return absl::AbortedError(absl::StrCat(
      "the tasks of cgroup ", group.path(), " and of the tree of process ",
      options.root, " keep changing; retry"));
}

absl::StatusOr<Census> VerifySingleFrozenGroup(Freezer& freezer, ProcFs& proc,
                                               const TreeOptions& options,
                                               v1::FreezeReport& report) {
  CKPT_ASSIGN_OR_RETURN(
      Census census,
      CompareTreeWithGroup(freezer.group(), proc, options, report));
  CKPT_ASSIGN_OR_RETURN(const v1::CgroupStatus status,
                        freezer.GetStatus(/*with_tasks=*/false));
  if (status.state() == v1::FREEZER_STATE_FROZEN && status.self_freezing()) {
    return census;
  }
  return absl::AbortedError(absl::StrCat(
      "cgroup ", status.cgroup(),
      " was thawed by somebody else while its freeze was being verified",
      status.frozen_ancestor().empty()
          ? ""
          : absl::StrCat("; only its ancestor ", status.frozen_ancestor(),
                         " holds it, whose thaw would set it going")));
}

absl::StatusOr<v1::VerifyFreezeReport> VerifyFreeze(
    Freezer& freezer, ProcFs& proc, const TreeOptions& options) {
  Cgroup& group = freezer.group();
  v1::VerifyFreezeReport report;
  report.set_cgroup(group.path());
  report.set_tree(options.root);
  report.set_except(options.except);
  report.set_subtree(options.subtree);
  v1::FreezeReport& freeze = *report.mutable_freeze();
  if (absl::IsNotFound(proc.Stat(options.root).status())) {
    return absl::NotFoundError(
        absl::StrCat("there is no process ", options.root,
                     ", the root of the tree; name one that lives"));
  }
  CKPT_ASSIGN_OR_RETURN(*freeze.mutable_before(),
                        freezer.GetStatus(/*with_tasks=*/false));
  if (!IsFrozen(group, proc, freeze)) return NotFrozen(group, proc, freeze);
  CKPT_ASSIGN_OR_RETURN(const Census census,
                        CompareTreeWithGroup(group, proc, options, freeze));
  CKPT_ASSIGN_OR_RETURN(*freeze.mutable_after(),
                        freezer.GetStatus(/*with_tasks=*/false));
  if (freeze.after().state() != v1::FREEZER_STATE_FROZEN) {
    return absl::AbortedError(absl::StrCat(
        "cgroup ", group.path(),
        " was thawed while its freeze was being verified; freeze it (ckpt "
        "freeze) and retry"));
  }
  report.set_processes(static_cast<int32_t>(census.TreeProcesses().size()));
  return report;
}

absl::StatusOr<pid_t> FindTreeRoot(Cgroup& group, ProcFs& proc, bool subtree) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> pids,
                        subtree ? group.SubtreeProcesses() : group.Processes());
  const std::set<pid_t> members(pids.begin(), pids.end());
  std::vector<pid_t> roots;
  for (const pid_t pid : pids) {
    const auto stat = proc.Stat(pid);
    if (!stat.ok()) continue;
    if (members.count(stat->ppid) == 0) roots.push_back(pid);
  }
  if (roots.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "cgroup ", group.path(), " holds no process",
        pids.empty() ? "" : " of this PID namespace", "; nothing to do"));
  }
  if (roots.size() > 1) {
    std::vector<std::string> names;
    names.reserve(roots.size());
    for (const pid_t pid : roots) names.push_back(DescribeTask(proc, pid));
    return absl::FailedPreconditionError(absl::StrCat(
        "cgroup ", group.path(), " holds ", roots.size(),
        " process trees, and an image holds one: their roots are ",
        absl::StrJoin(names, ", "), "; give each tree a group of its own"));
  }
  return roots.front();
}

}  // namespace ckpt::freezer
