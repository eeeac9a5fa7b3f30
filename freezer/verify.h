// The legality check of a checkpoint: every task of the tree, and no other, is
// in one and the same group, and that group is frozen.
//
//   v1::FreezeReport report;
//   CKPT_ASSIGN_OR_RETURN(
//       const Census verified,
//       VerifySingleFrozenGroup(freezer, proc, {.root = pid}, report));
//
// A process that checkpoints the tree that it belongs to is `except`: it stands
// outside, or it could not ask.  With `subtree`, tasks in groups below the
// group are in the same freeze, as the group's request holds them all.
#ifndef CKPT_FREEZER_VERIFY_H_
#define CKPT_FREEZER_VERIFY_H_

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "base/proc.h"
#include "freezer/census.h"
#include "freezer/freezer.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

// For a dump, which has frozen the group: compares the tasks of the tree with
// those of the group once both stand still (TakeStableCensus), then reads the
// state again.  Fills report.strays (of the tree, outside the group),
// report.outsiders (in the group, outside the tree) and report.threads.
//
// FailedPrecondition, with the tasks named and the report as payload, when they
// differ; Aborted when the group is not FROZEN by its own request (any more: an
// ancestor's would not do, as its thaw sets the job going) or keeps changing;
// NotFound when the root task is gone.  Changes nothing.
absl::StatusOr<Census> VerifySingleFrozenGroup(Freezer& freezer, ProcFs& proc,
                                               const TreeOptions& options,
                                               v1::FreezeReport& report);

// The comparison alone, for a group that may not be frozen yet.
absl::StatusOr<Census> CompareTreeWithGroup(Cgroup& group, ProcFs& proc,
                                            const TreeOptions& options,
                                            v1::FreezeReport& report);

// For whoever froze the group by other means and asks whether a checkpoint
// would be legal.  The effective state counts here: an ancestor's request will
// do, and is named in report.freeze.after.frozen_ancestor.
//
// FailedPrecondition when it is not legal: the group is not FROZEN (the tasks
// that are not are named), or strays or outsiders; Aborted when the group was
// thawed meanwhile, or its tasks keep changing; InvalidArgument when the
// exception is not of the tree; NotFound.  Changes nothing.
absl::StatusOr<v1::VerifyFreezeReport> VerifyFreeze(Freezer& freezer,
                                                    ProcFs& proc,
                                                    const TreeOptions& options);

// The one root of the processes in `group` (with `subtree`, and in the groups
// below it): the member whose parent is no member.  NotFound when the group is
// empty; FailedPrecondition, with the roots named, when there are several.
absl::StatusOr<pid_t> FindTreeRoot(Cgroup& group, ProcFs& proc, bool subtree);

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_VERIFY_H_
