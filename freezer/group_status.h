// A group's state as its users see it: what the kernel says, and who holds it.
//
// Operations decide by Freezer::GetStatus(), the kernel's word alone; this is
// for reports.
#ifndef CKPT_FREEZER_GROUP_STATUS_H_
#define CKPT_FREEZER_GROUP_STATUS_H_

#include "absl/status/statusor.h"
#include "freezer/freezer.h"
#include "freezer/journal.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

// Freezer::GetStatus(), with the holder from the journal: the state is
// CHECKPOINTING while a dump holds the group.  A holder that left no entry (a
// script with flock(1)) shows as lock_holder_pid, with `with_tasks` alone, as
// the kernel takes some 10 ms to tell.  Errors as of GetStatus().
absl::StatusOr<v1::CgroupStatus> DescribeGroup(
    Freezer& freezer, bool with_tasks, Journal& journal = Journal::Default());

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_GROUP_STATUS_H_
