// The legality check of a checkpoint: every task of the tree, and no other, is
// in one and the same group, and that group is frozen.
#ifndef CKPT_FREEZER_VERIFY_H_
#define CKPT_FREEZER_VERIFY_H_

#include <sys/types.h>

#include "absl/status/status.h"
#include "base/proc.h"
#include "freezer/freezer.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

// Lists the threads of the tree below `root` (zombies left out, as they run no
// more) and those of the freezer's group until two rounds agree, and compares
// them; then reads the state again.  Fills report.strays (of the tree, outside
// the group) and report.outsiders (in the group, outside the tree).
//
// FailedPrecondition, with the tasks named and the report as payload, when they
// differ; Aborted when the group is not FROZEN (any more) or keeps changing;
// NotFound when the root task is gone.  Changes nothing.
absl::Status VerifySingleFrozenGroup(Freezer& freezer, ProcFs& proc, pid_t root,
                                     v1::FreezeReport& report);

// The same comparison for a group that may not be frozen yet.
absl::Status CompareTreeWithGroup(Cgroup& group, ProcFs& proc, pid_t root,
                                  v1::FreezeReport& report);

// The one root of the processes in `group`: the member whose parent is no
// member.  NotFound when the group is empty; FailedPrecondition, with the roots
// named, when there are several.
absl::StatusOr<pid_t> FindTreeRoot(Cgroup& group, ProcFs& proc);

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_VERIFY_H_
