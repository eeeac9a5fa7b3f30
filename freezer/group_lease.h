// A freeze that ends by itself: a process that thaws a group at a given time
// (base/lease.h), with an entry in the journal that shows it and stands in for
// it should it be killed.
//
//   CKPT_ASSIGN_OR_RETURN(auto lease, GroupLease::Prepare(
//                             group, absl::Minutes(10)));
//   lease->StartWith(guardian, guardian.AddPart());  // before guardian.Arm()
//   ... freeze ...
//   CKPT_RETURN_IF_ERROR(guardian.HandOver(report, ...));
//   lease->Forget();                    // it runs
//
// A lease that begins takes the place of the one that the group has.  Whoever
// holds the group's lock ends a lease by removing its entry, EndLease(); at its
// own end the lease takes that lock first, so a dump that is under way then is
// not disturbed: the lease waits for it.
//
// Not thread-safe.
#ifndef CKPT_FREEZER_GROUP_LEASE_H_
#define CKPT_FREEZER_GROUP_LEASE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/last_will.h"
#include "base/lease.h"
#include "base/prepared_steps.h"
#include "base/unique_fd.h"
#include "freezer/cgroup.h"
#include "freezer/journal.h"

namespace ckpt::freezer {

class GroupLease {
 public:
  // Makes everything ready for a lease of `length` from now on, after which the
  // group is thawed.  Nothing is seen of it yet.
  static absl::StatusOr<std::unique_ptr<GroupLease>> Prepare(
      Cgroup& group, absl::Duration length,
      Journal& journal = Journal::Default());

  // Has the guardian start the lease at the hand-over, and show the entry by
  // `part` once its text is printed; what is not handed over calls it off.
  void StartWith(LastWill& guardian, PreparedSteps& part);

  // Makes nothing of it: the guardian starts no lease.
  void Drop() { entry_->Remove(); }

  // The lease runs: leaves the entry to it.
  void Forget() { entry_->Forget(); }

  // Starts the process for the entry of one that was killed.  The entry stays.
  static absl::Status Resume(Cgroup& group, std::unique_ptr<JournalFile> entry);

 private:
  GroupLease(std::unique_ptr<JournalFile> entry, UniqueFd directory,
             UniqueFd request, absl::string_view word);
  static absl::StatusOr<std::unique_ptr<GroupLease>> Make(
      Cgroup& group, std::unique_ptr<JournalFile> entry);

  const std::unique_ptr<JournalFile> entry_;
  const UniqueFd directory_, request_;
  Lease lease_;
};

// Ends the lease of a group, if it has one; the caller holds the group's lock.
void EndLease(const Cgroup& group, Journal& journal = Journal::Default());

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_GROUP_LEASE_H_
