// Takes a group's lock, or tells who has it and what for.
#ifndef CKPT_FREEZER_GROUP_LOCK_H_
#define CKPT_FREEZER_GROUP_LOCK_H_

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "freezer/cgroup.h"
#include "freezer/journal.h"

namespace ckpt::freezer {

// Unavailable when another holds it; purpose and pid come from the journal.
// Waits some milliseconds for a lease that ends or a recovery, which hold it
// for a moment.  Kills a stopped orphan of a CRIU that has died with its ckpt,
// which would hold it for ever.
absl::StatusOr<UniqueFd> LockGroup(Cgroup& group,
                                   Journal& journal = Journal::Default());

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_GROUP_LOCK_H_
