// One operation on several groups at once: a thread each, one report.
//
//   CKPT_ASSIGN_OR_RETURN(auto guarded, GuardedGroups::Take(...));
//   const v1::FreezeSetReport report =
//       FreezeAll(*guarded, {.each = {.deadline = deadline}});
//   if (AnySucceeded(report)) { ... guarded->HandOver(text, cancel) ... }
//
// A group whose part fails is in the state that the operation on one group
// leaves it in; its entry has code, message and evidence.  With
// all_or_nothing, one failure has every group given back as it was.
#ifndef CKPT_FREEZER_GROUP_SET_H_
#define CKPT_FREEZER_GROUP_SET_H_

#include "absl/status/status.h"
#include "freezer/freezer.h"
#include "freezer/guarded_groups.h"
#include "freezer/kill.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

struct SetOptions {
  FreezeOptions each;
  bool all_or_nothing = false;
};

// Freezes, or thaws, the groups.  The entries are in the order of the groups.
v1::FreezeSetReport FreezeAll(GuardedGroups& groups, const SetOptions& options);
v1::FreezeSetReport ThawAll(GuardedGroups& groups, const SetOptions& options);

// Signals every process of the groups; errors and effects as of KillGroup().
v1::KillSetReport KillAll(GuardedGroups& groups, int signal,
                          const KillOptions& options);

// OK, or the first error in the order of the groups; one that is the
// consequence of another's failure is not meant.
absl::Status FirstError(const v1::FreezeSetReport& report);
absl::Status FirstError(const v1::KillSetReport& report);

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_GROUP_SET_H_
