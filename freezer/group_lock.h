// Takes a group's lock, or tells who has it and what for.
#ifndef CKPT_FREEZER_GROUP_LOCK_H_
#define CKPT_FREEZER_GROUP_LOCK_H_

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "freezer/cgroup.h"
#include "freezer/journal.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

// Unavailable when another holds it; purpose and pid come from the journal.
// Waits some milliseconds for a lease that ends or a recovery, which hold it
// for a moment, and for a holder's orphan (below).
absl::StatusOr<UniqueFd> LockGroup(Cgroup& group,
                                   Journal& journal = Journal::Default());

// CRIU tries the kernel out on children of its own, which it stops
// (criu/kerndat.c).  One whose CRIU is killed just then, with its ckpt, stays
// stopped for ever, with the locks that CRIU had been given, and nobody else
// knows of it.  Kills such of a holder that has died; whether there was one.
bool EndOrphan(Cgroup& group, const v1::Hold& hold);

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_GROUP_LOCK_H_
