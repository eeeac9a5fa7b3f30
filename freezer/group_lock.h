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
// for a moment.
absl::StatusOr<UniqueFd> LockGroup(Cgroup& group,
                                   Journal& journal = Journal::Default());

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_GROUP_LOCK_H_
