#include "checkpoint/asker_group.h"

#include <unistd.h>

#include <algorithm>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/proc.h"
#include "base/status.h"
#include "freezer/lookup.h"
#include "freezer/verify.h"

namespace ckpt::checkpoint {
namespace {

using GroupPtr = std::unique_ptr<freezer::Cgroup>;

constexpr char kUntouched[] = "; nothing was touched";

bool IsIn(const std::vector<pid_t>& pids, pid_t pid) {
  return std::find(pids.begin(), pids.end(), pid) != pids.end();
}

// Out of `group`, which this process is in.
absl::Status StepOut(GroupPtr group) {
  while (!group->is_root()) {
    CKPT_ASSIGN_OR_RETURN(group, group->Parent());
    // v2 takes no process where controllers are passed on to groups below; the
    // root takes all.
    absl::Status moved = group->AddProcess(::getpid());
    if (moved.ok() || group->is_root()) return moved;
  }
  return absl::OkStatus();
}

// The group of the process: v2 first, then v1.
absl::StatusOr<GroupPtr> GroupOf(pid_t pid, v1::Hierarchy hierarchy) {
  for (const v1::Hierarchy candidate : {v1::HIERARCHY_V2, v1::HIERARCHY_V1}) {
    if (hierarchy != v1::HIERARCHY_UNSPECIFIED && hierarchy != candidate) {
      continue;
    }
    auto group = freezer::CgroupOf(pid, candidate);
    if (group.ok() && !(*group)->is_root()) return group;
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "process ", DescribeTask(ProcFs::Real(), pid),
      " is in the root cgroup, which is never frozen; start the job in a group "
      "of its own",
      kUntouched));
}

// Of `group` and the asker, which may be outside it: the one process whose
// parent is none of them.
absl::StatusOr<pid_t> FindRoot(freezer::Cgroup& group, pid_t asker) {
  ProcFs& proc = ProcFs::Real();
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> pids, group.Processes());
  if (IsIn(pids, asker)) {
    return freezer::FindTreeRoot(group, proc, /*subtree=*/false);
  }
  std::set<pid_t> members(pids.begin(), pids.end());
  members.insert(asker);
  std::vector<pid_t> roots;
  for (const pid_t pid : members) {
    const auto stat = proc.Stat(pid);
    if (stat.ok() && members.count(stat->ppid) == 0) roots.push_back(pid);
  }
  if (roots.size() == 1) return roots.front();
  std::vector<std::string> names;
  names.reserve(roots.size());
  for (const pid_t pid : roots) names.push_back(DescribeTask(proc, pid));
  return absl::FailedPreconditionError(absl::StrCat(
      "process ", DescribeTask(proc, asker), " and cgroup ", group.path(),
      " are no single tree, and an image holds one: the roots are ",
      absl::StrJoin(names, ", "), kUntouched));
}

}  // namespace

absl::Status LeaveGroupsOf(pid_t pid) {
  for (const v1::Hierarchy hierarchy : {v1::HIERARCHY_V2, v1::HIERARCHY_V1}) {
    auto ours = freezer::CgroupOf(::getpid(), hierarchy);
    const auto theirs = freezer::CgroupOf(pid, hierarchy);
    if (!ours.ok() || !theirs.ok()) continue;  // not mounted
    if ((*ours)->path() != (*theirs)->path()) continue;
    CKPT_RETURN_IF_ERROR(StepOut(*std::move(ours)));
  }
  return absl::OkStatus();
}

absl::Status NameJobOfAsker(pid_t asker, bool whole_group,
                            const std::string& cgroup, v1::DumpRequest& dump) {
  GroupPtr group;
  dump.set_pid(asker);
  if (!cgroup.empty()) {
    CKPT_ASSIGN_OR_RETURN(group, freezer::FindCgroup(cgroup, dump.hierarchy()));
  } else if (whole_group) {
    CKPT_ASSIGN_OR_RETURN(group, GroupOf(asker, dump.hierarchy()));
  } else {
    CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> tree,
                          ProcessTree(ProcFs::Real(), asker));
    // Whichever it is: if they are in several, the others are found to be
    // strays.
    CKPT_ASSIGN_OR_RETURN(group, GroupOf(tree.back(), dump.hierarchy()));
  }
  if (whole_group) {
    CKPT_ASSIGN_OR_RETURN(const pid_t root, FindRoot(*group, asker));
    dump.set_pid(root);
  }
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> members, group->Processes());
  if (!IsIn(members, asker)) dump.set_self_pid(asker);
  dump.set_cgroup(group->path());
  dump.set_hierarchy(group->hierarchy());
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<JoinedProcess>> JoinedProcess::Find(
    freezer::Cgroup& group, pid_t pid) {
  CKPT_ASSIGN_OR_RETURN(GroupPtr home,
                        freezer::CgroupOf(pid, group.hierarchy()));
  CKPT_ASSIGN_OR_RETURN(UniqueFd procs, home->OpenProcsForWrite());
  return std::unique_ptr<JoinedProcess>(
      new JoinedProcess(group, pid, std::move(home), std::move(procs)));
}

void JoinedProcess::Protect(LastWill& guardian) const {
  guardian.AddWrite(home_procs_.get(), absl::StrCat(pid_));
}

absl::Status JoinedProcess::Join() {
  CKPT_RETURN_IF_ERROR(group_.AddProcess(pid_));
  joined_ = true;
  return absl::OkStatus();
}

absl::Status JoinedProcess::Return() {
  if (!joined_) return absl::OkStatus();
  joined_ = false;
  const absl::Status moved = home_->AddProcess(pid_);
  return absl::IsNotFound(moved) ? absl::OkStatus() : moved;
}

}  // namespace ckpt::checkpoint
