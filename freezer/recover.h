// Gives back the groups whose holders have died together with their guardians,
// as their journal entries tell.
//
//   CKPT_ASSIGN_OR_RETURN(v1::RecoverReport report,
//                         Recover(Journal::Default(), {}));
//
// An operation's group gets the own request that it had before: it is thawed,
// or, if a dump had thawed it, frozen.  A lease whose
// process was killed goes on in a new one, or, when its time is over, ends.
// If the entry names a file that says that its tasks are somebody else's
// (JournalEntry.ended_if_exists), they are killed while they are frozen.
// Entries of other starts of the kernel and of groups that are no more are
// removed; those of a newer ckpt stay.
#ifndef CKPT_FREEZER_RECOVER_H_
#define CKPT_FREEZER_RECOVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/proc.h"
#include "freezer/cgroup.h"
#include "freezer/journal.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

struct RecoverOptions {
  bool dry_run = false;  // tells what it would find, and changes nothing
  // How groups are opened: for tests.
  std::function<absl::StatusOr<std::unique_ptr<Cgroup>>(const std::string&)>
      open = &OpenCgroup;
  ProcFs& proc = ProcFs::Real();
  Clock& clock = Clock::Real();
};

// Works on abandoned entries alone, each under its group's lock: a group that
// is in use is left alone, and so is one that another Recover() works on.  One
// look into the directory when there is nothing to do.  Trouble with one group
// is told in the report (`problem`) and does not keep it from the next; its
// entry stays.
//
// PermissionDenied, ... when the journal cannot be read.
absl::StatusOr<v1::RecoverReport> Recover(Journal& journal,
                                          const RecoverOptions& options = {});

// The same for the operation's entry of one group whose lock the caller holds.
// FailedPrecondition when it is of a newer ckpt; errors of Freezer::Thaw().
absl::Status RecoverLockedGroup(Cgroup& group, Journal& journal);

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_RECOVER_H_
