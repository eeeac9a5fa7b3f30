// A group that an operation works on: locked, and written down in the journal.
//
//   CKPT_ASSIGN_OR_RETURN(auto hold, GroupHold::Take(
//                             group, {.purpose = v1::HOLD_PURPOSE_FREEZE}));
//   hold->Protect(guardian);            // after the guardian's other steps
//   ... work; the destructor lets go of the group ...
//
// Not thread-safe.  Borrows the group for its lifetime.
#ifndef CKPT_FREEZER_GROUP_HOLD_H_
#define CKPT_FREEZER_GROUP_HOLD_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "base/last_will.h"
#include "base/prepared_steps.h"
#include "base/unique_fd.h"
#include "freezer/cgroup.h"
#include "freezer/journal.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

class GroupHold {
 public:
  struct Options {
    v1::HoldPurpose purpose = v1::HOLD_PURPOSE_UNSPECIFIED;
    // The own request to give back, if not the one that is found.
    absl::optional<bool> give_back_frozen = absl::nullopt;
    // A file that, if it is there when the holder has died, says that the tasks
    // are somebody else's: they are killed, not given back.  "": none.
    std::string ended_if_exists = "";
    // Whether it is refused when nothing can be written down (nor guarded): not
    // for who only sets tasks free.
    bool needs_journal = true;
  };

  // Takes the lock; gives back what an ended holder has left of the group
  // (freezer/recover.h); writes the entry.  The root group, which has no
  // freezer, is locked only.
  //
  //   Unavailable         somebody else works on it (who and what for is told)
  //   FailedPrecondition  a newer ckpt has left it, which must recover it; its
  //                       tasks may be somebody else's, and do not end
  //   errors of Journal::Write()
  static absl::StatusOr<std::unique_ptr<GroupHold>> Take(
      Cgroup& group, const Options& options,
      Journal& journal = Journal::Default());

  Cgroup& group() { return group_; }

  // The own request that it is given back with.
  bool give_back_frozen() const { return give_back_frozen_; }

  // The group is held as long as somebody has these open.
  std::vector<int> descriptors() const;

  // Has a guardian hold the group, too, and let go of it as its last step,
  // whether it carries out the will or hands over.
  void Protect(LastWill& guardian);

  // Adds the step that ends the group's lease.
  void AddEndLease(PreparedSteps& steps);

  // The guardian has let go of it, or will.
  void Forget();

 private:
  GroupHold(Cgroup& group, UniqueFd lock)
      : group_(group), lock_(std::move(lock)) {}

  Cgroup& group_;
  // In this order: the entry goes before the lock is given up.
  UniqueFd lock_;
  std::unique_ptr<JournalFile> entry_;
  bool give_back_frozen_ = false;
};

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_GROUP_HOLD_H_
