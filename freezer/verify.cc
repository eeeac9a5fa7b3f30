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

// Rounds until two agree.  A frozen group agrees at once; a tree with tasks
// outside the group may change for ever.
constexpr int kRounds = 10;
// How many tasks a message names; the report has all.
constexpr size_t kNamed = 5;

struct Members {
  std::vector<pid_t> tree;   // threads, sorted
  std::vector<pid_t> group;  // threads, sorted
  std::vector<pid_t> below;  // processes of the groups below, sorted

  bool operator==(const Members&) const = default;
};

bool IsEnded(ProcFs& proc, pid_t tid) {
  const auto stat = proc.Stat(tid);
  return !stat.ok() || stat->state == 'Z' || stat->state == 'X';
}

absl::StatusOr<Members> ListMembers(Cgroup& group, ProcFs& proc, pid_t root) {
  Members members;
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> tree, ProcessTree(proc, root));
  for (const pid_t pid : tree) {
    const auto threads = proc.Threads(pid);
    if (!threads.ok()) continue;
    members.tree.insert(members.tree.end(), threads->begin(), threads->end());
  }
  std::sort(members.tree.begin(), members.tree.end());
  CKPT_ASSIGN_OR_RETURN(members.group, group.Threads());
  std::sort(members.group.begin(), members.group.end());
  CKPT_ASSIGN_OR_RETURN(const auto children, group.Children());
  for (const auto& child : children) {
    const auto pids = child->SubtreeProcesses();
    if (!pids.ok()) continue;  // removed meanwhile
    members.below.insert(members.below.end(), pids->begin(), pids->end());
  }
  std::sort(members.below.begin(), members.below.end());
  return members;
}

std::string GroupOfTask(ProcFs& proc, pid_t tid, v1::Hierarchy hierarchy) {
  const auto text = proc.Read(tid, "cgroup");
  if (!text.ok()) return "";
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    const bool matches = hierarchy == v1::HIERARCHY_V2 ? fields[0] == "0"
                                                       : fields[1] == "freezer";
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

absl::Status Judge(Cgroup& group, pid_t root, const v1::FreezeReport& report) {
  std::vector<std::string> reasons;
  if (report.strays_size() > 0) {
    reasons.push_back(absl::StrCat(
        report.strays_size(), " task(s) of the tree of process ", root,
        " are outside cgroup ", group.path(), ": ", NameTasks(report.strays()),
        "; move them into it (cgroup.procs) and retry"));
  }
  if (report.outsiders_size() > 0) {
    reasons.push_back(absl::StrCat(
        report.outsiders_size(), " task(s) in cgroup ", group.path(),
        " do not belong to the tree of process ", root, ": ",
        NameTasks(report.outsiders()),
        "; they would not be in the image: move them out of it and retry"));
  }
  if (reasons.empty()) return absl::OkStatus();
  absl::Status status =
      absl::FailedPreconditionError(absl::StrJoin(reasons, "; and "));
  status.SetPayload(kReportUrl, absl::Cord(report.SerializeAsString()));
  return status;
}

}  // namespace

absl::Status CompareTreeWithGroup(Cgroup& group, ProcFs& proc, pid_t root,
                                  v1::FreezeReport& report) {
  CKPT_ASSIGN_OR_RETURN(Members members, ListMembers(group, proc, root));
  bool agree = false;
  for (int round = 0; !agree && round < kRounds; ++round) {
    CKPT_ASSIGN_OR_RETURN(Members again, ListMembers(group, proc, root));
    agree = again == members;
    members = std::move(again);
  }
  report.clear_strays();
  report.clear_outsiders();
  std::vector<pid_t> strays, outsiders;
  std::set_difference(members.tree.begin(), members.tree.end(),
                      members.group.begin(), members.group.end(),
                      std::back_inserter(strays));
  std::set_difference(members.group.begin(), members.group.end(),
                      members.tree.begin(), members.tree.end(),
                      std::back_inserter(outsiders));
  // Tasks of the tree in a group below are strays already.
  std::set_difference(members.below.begin(), members.below.end(),
                      members.tree.begin(), members.tree.end(),
                      std::back_inserter(outsiders));
  for (const pid_t tid : strays) {
    if (IsEnded(proc, tid)) continue;
    auto task = DescribeThread(proc, tid);
    if (!task.ok()) continue;
    task->set_cgroup(GroupOfTask(proc, tid, group.hierarchy()));
    *report.add_strays() = *std::move(task);
  }
  for (const pid_t tid : outsiders) {
    if (tid == 0) {  // a task of another PID namespace: it has no number here
      report.add_outsiders()->set_comm("of another PID namespace");
      continue;
    }
    if (IsEnded(proc, tid)) continue;
    auto task = DescribeThread(proc, tid);
    if (!task.ok()) continue;
    task->set_cgroup(GroupOfTask(proc, tid, group.hierarchy()));
    *report.add_outsiders() = *std::move(task);
  }
  report.set_threads(static_cast<int32_t>(members.group.size()));
  CKPT_RETURN_IF_ERROR(Judge(group, root, report));
  if (agree) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat("the tasks of cgroup ", group.path(),
                                         " and of the tree of process ", root,
                                         " keep changing; retry"));
}

absl::Status VerifySingleFrozenGroup(Freezer& freezer, ProcFs& proc, pid_t root,
                                     v1::FreezeReport& report) {
  CKPT_RETURN_IF_ERROR(
      CompareTreeWithGroup(freezer.group(), proc, root, report));
  CKPT_ASSIGN_OR_RETURN(const v1::CgroupStatus status,
                        freezer.GetStatus(/*with_tasks=*/false));
  if (status.state() != v1::FREEZER_STATE_FROZEN || !status.self_freezing()) {
    return absl::AbortedError(absl::StrCat(
        "cgroup ", status.cgroup(),
        " was thawed by somebody else while its freeze was being verified"));
  }
  return absl::OkStatus();
}

absl::StatusOr<pid_t> FindTreeRoot(Cgroup& group, ProcFs& proc) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> pids, group.Processes());
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
