// Signals every process of a cgroup and of the groups below it, with none
// missed while it forks.
#ifndef CKPT_FREEZER_KILL_H_
#define CKPT_FREEZER_KILL_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "freezer/freezer.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

// SIGKILL: v2 by cgroup.kill (one write, forks included); v1 by freezing,
// signalling all and thawing (a v1-frozen task dies only when thawed); where
// the freeze cannot be had, by signalling until nobody is left.  Then waits
// until the group is empty.
//
// Another signal: the group is frozen, every process is signalled once, and the
// group is given back as it was.
//
// FailedPrecondition for the root group and for one that holds the caller;
// DeadlineExceeded when tasks are left at `deadline`; errors of Freeze().
absl::StatusOr<v1::KillReport> KillGroup(Freezer& freezer, int signal,
                                         absl::Time deadline);

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_KILL_H_
