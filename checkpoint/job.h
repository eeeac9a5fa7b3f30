// Which tasks a dump is about: the tree, and the group that freezes it.
#ifndef CKPT_CHECKPOINT_JOB_H_
#define CKPT_CHECKPOINT_JOB_H_

#include <sys/types.h>

#include <memory>

#include "absl/status/statusor.h"
#include "base/proc.h"
#include "freezer/cgroup.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::checkpoint {

struct Job {
  pid_t root = 0;
  // Null with no_freezer.
  std::unique_ptr<freezer::Cgroup> group;
  // Its tasks may be in groups below `group`, which is frozen for them all.
  bool subtree = false;
};

// From request.cgroup, pid, hierarchy, subtree and no_freezer.
//   InvalidArgument     neither cgroup nor pid; subtree without cgroup;
//                       no_freezer without pid, or with leave_frozen
//   NotFound            no such cgroup or process; the group is empty
//   FailedPrecondition  the root group; several trees in the group; the pid is
//                       not in the group
absl::StatusOr<Job> FindJob(const v1::DumpRequest& request, ProcFs& proc);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_JOB_H_
