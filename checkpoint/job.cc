#include "checkpoint/job.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "freezer/lookup.h"
#include "freezer/verify.h"

namespace ckpt::checkpoint {
namespace {

absl::Status NoSuchProcess(pid_t pid) {
  return absl::NotFoundError(absl::StrCat("there is no process ", pid));
}

absl::Status InRootGroup(ProcFs& proc, pid_t pid) {
  return absl::FailedPreconditionError(absl::StrCat(
      "process ", DescribeTask(proc, pid),
      " is in the root cgroup, which is never frozen; put its tree into a "
      "group "
      "of its own (mkdir /sys/fs/cgroup/.../job; echo PID > "
      "/sys/fs/cgroup/.../job/cgroup.procs, for each of its processes), or use "
      "--no-freezer to rely on ptrace alone; nothing was touched"));
}

// The group of a tree that was named by its root: v2 first, then v1.
absl::StatusOr<std::unique_ptr<freezer::Cgroup>> GroupOfTree(
    ProcFs& proc, pid_t pid, v1::Hierarchy hierarchy) {
  for (const v1::Hierarchy candidate : {v1::HIERARCHY_V2, v1::HIERARCHY_V1}) {
    if (hierarchy != v1::HIERARCHY_UNSPECIFIED && hierarchy != candidate) {
      continue;
    }
    auto group = freezer::CgroupOf(pid, candidate);
    if (group.ok() && !(*group)->is_root()) return group;
  }
  return InRootGroup(proc, pid);
}

absl::Status CheckIsMember(freezer::Cgroup& group, bool subtree, ProcFs& proc,
                           pid_t pid) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> pids,
                        subtree ? group.SubtreeProcesses() : group.Processes());
  if (std::find(pids.begin(), pids.end(), pid) != pids.end()) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "process ", DescribeTask(proc, pid), " is not in cgroup ", group.path(),
      "; move its tree there (cgroup.procs), or name its own group; nothing "
      "was touched"));
}

}  // namespace

absl::StatusOr<Job> FindJob(const v1::DumpRequest& request, ProcFs& proc) {
  Job job;
  job.root = request.pid();
  if (job.root < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--pid ", job.root, " is no process id"));
  }
  if (job.root != 0 && !proc.Stat(job.root).ok()) {
    return NoSuchProcess(job.root);
  }
  job.subtree = request.subtree();
  if (job.subtree && request.cgroup().empty()) {
    return absl::InvalidArgumentError(
        "--subtree goes with --cgroup, the group that is frozen for all");
  }
  if (request.no_freezer()) {
    if (job.root == 0 || !request.cgroup().empty()) {
      return absl::InvalidArgumentError(
          "--no-freezer goes with --pid and without --cgroup");
    }
    if (request.leave_frozen()) {
      return absl::InvalidArgumentError(
          "--leave-frozen needs the freezer, and --no-freezer forbids it");
    }
    return job;
  }
  if (request.cgroup().empty()) {
    if (job.root == 0) {
      return absl::InvalidArgumentError("name the job: --cgroup X, or --pid N");
    }
    CKPT_ASSIGN_OR_RETURN(job.group,
                          GroupOfTree(proc, job.root, request.hierarchy()));
    return job;
  }
  CKPT_ASSIGN_OR_RETURN(
      job.group, freezer::FindCgroup(request.cgroup(), request.hierarchy()));
  CKPT_RETURN_IF_ERROR(freezer::CheckMayTouch(*job.group));
  if (job.root == 0) {
    CKPT_ASSIGN_OR_RETURN(job.root,
                          freezer::FindTreeRoot(*job.group, proc, job.subtree));
  } else if (job.root != request.self_pid()) {
    CKPT_RETURN_IF_ERROR(
        CheckIsMember(*job.group, job.subtree, proc, job.root));
  }
  return job;
}

}  // namespace ckpt::checkpoint
