#include "restore/task_groups.h"

#include <map>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/status.h"
#include "freezer/freezer.h"
#include "freezer/lookup.h"

namespace ckpt::restore {
namespace {

// Of killed tasks, to leave.
constexpr absl::Duration kRemoveLimit = absl::Seconds(5);

}  // namespace

absl::StatusOr<std::unique_ptr<TaskGroups>> TaskGroups::Make(
    const freezer::Cgroup& target, const v1::ManifestJob& job) {
  auto groups = absl::WrapUnique(new TaskGroups(job));
  for (const v1::ManifestTaskGroup& group : job.groups()) {
    CKPT_RETURN_IF_ERROR(groups->MakeOne(target, group.cgroup()));
  }
  return groups;
}

absl::Status TaskGroups::MakeOne(const freezer::Cgroup& target,
                                 const std::string& path) {
  std::string full = target.path();
  std::unique_ptr<freezer::Cgroup> group;
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return absl::DataLossError(
          absl::StrCat("the image names a group '", path,
                       "' below that of the "
                       "job, which is no path of groups"));
    }
    absl::StrAppend(&full, "/", part);
    std::vector<std::string> made;
    CKPT_ASSIGN_OR_RETURN(
        group, freezer::FindOrCreateCgroup(full, target.hierarchy(), made));
    made_.insert(made_.end(), made.begin(), made.end());
    freezer::Freezer freezer(*group, ProcFs::Real(), Clock::Real());
    CKPT_ASSIGN_OR_RETURN(const v1::CgroupStatus status,
                          freezer.GetStatus(/*with_tasks=*/false));
    if (status.self_freezing()) {
      return absl::FailedPreconditionError(
          absl::StrCat("cgroup ", full,
                       ", which the job needs, is frozen; thaw it, or name "
                       "another group with --cgroup; nothing was started"));
    }
  }
  groups_.push_back(std::move(group));
  return absl::OkStatus();
}

absl::Status TaskGroups::Place(const std::vector<pid_t>& tree, ProcFs& proc) {
  if (job_.groups().empty()) return absl::OkStatus();
  // The image has the numbers of the job's own PID namespace.
  std::map<pid_t, pid_t> by_image_pid;
  for (const pid_t pid : tree) by_image_pid[InnermostPid(proc, pid)] = pid;
  for (int i = 0; i < job_.groups_size(); ++i) {
    for (const pid_t pid : job_.groups(i).pids()) {
      const auto found = by_image_pid.find(pid);
      if (found == by_image_pid.end()) {
        return absl::DataLossError(
            absl::StrCat("process ", pid, ", which belongs into cgroup ",
                         groups_[i]->path(), ", was not restored"));
      }
      CKPT_RETURN_IF_ERROR(groups_[i]->AddProcess(found->second));
    }
  }
  return absl::OkStatus();
}

int TaskGroups::processes() const {
  int count = 0;
  for (const v1::ManifestTaskGroup& group : job_.groups()) {
    count += group.pids_size();
  }
  return count;
}

absl::Status TaskGroups::Remove() {
  return freezer::RemoveMadeCgroups(std::exchange(made_, {}), kRemoveLimit);
}

TaskGroups::~TaskGroups() { (void)Remove(); }

}  // namespace ckpt::restore
