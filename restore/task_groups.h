// The groups below a job's own group, as its image has them: made anew below
// the group of a restore, each process put into its own.
//
//   CKPT_ASSIGN_OR_RETURN(auto groups, TaskGroups::Make(*target, job));
//   ... CRIU builds the tasks in `target`; none has run ...
//   CKPT_RETURN_IF_ERROR(groups->Place(tree, proc));
//   groups->Keep();
//
// Not thread-safe.  The destructor removes the groups that were made, unless
// they are to be kept.
#ifndef CKPT_RESTORE_TASK_GROUPS_H_
#define CKPT_RESTORE_TASK_GROUPS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/proc.h"
#include "freezer/cgroup.h"
#include "proto/image.pb.h"

namespace ckpt::restore {

class TaskGroups {
 public:
  // Makes those groups of job.groups that do not exist below `target`, which
  // must hold no process.  `job` is borrowed for the lifetime.
  //   DataLoss            a path that leads out of `target`
  //   FailedPrecondition  a group that is there already asks for a freeze
  //   errors of mkdir(2), after which nothing is left
  static absl::StatusOr<std::unique_ptr<TaskGroups>> Make(
      const freezer::Cgroup& target, const v1::ManifestJob& job);

  ~TaskGroups();
  TaskGroups(const TaskGroups&) = delete;
  TaskGroups& operator=(const TaskGroups&) = delete;

  // In the order of job.groups.
  const std::vector<std::unique_ptr<freezer::Cgroup>>& groups() const {
    return groups_;
  }

  // Moves each process of `tree` into its group; those that no group lists stay
  // where they are.  DataLoss when a listed process is not of the tree.
  absl::Status Place(const std::vector<pid_t>& tree, ProcFs& proc);

  // How many processes the groups list.
  int processes() const;

  // The groups stay: the job lives in them.
  void Keep() { made_.clear(); }

  // Removes the groups that were made.  Unavailable when one is not empty.
  absl::Status Remove();

 private:
  explicit TaskGroups(const v1::ManifestJob& job) : job_(job) {}

  absl::Status MakeOne(const freezer::Cgroup& target, const std::string& path);

  const v1::ManifestJob& job_;
  std::vector<std::unique_ptr<freezer::Cgroup>> groups_;
  std::vector<std::string> made_;  // paths, each after those that it is in
};

}  // namespace ckpt::restore

#endif  // CKPT_RESTORE_TASK_GROUPS_H_
