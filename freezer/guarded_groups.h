// The groups of one operation, which are given back as they were however it
// ends, kill -9 included: held (freezer/group_hold.h), with a guardian that
// outlives this process.
//
//   CKPT_ASSIGN_OR_RETURN(auto guarded, GuardedGroups::Take(
//                             std::move(groups), {.output_fd =
//                             STDOUT_FILENO}));
//   ... freeze them by guarded->freezer(i) ...
//   CKPT_RETURN_IF_ERROR(guarded->HandOver(report, cancel));
//
// Until HandOver() has printed the report, or Release() was called, the death
// of this process gives every group its former request.  The destructor
// releases: an operation that fails undoes its own work first.
//
// Not thread-safe; but each freezer, with its group, may be used by a thread of
// its own.
#ifndef CKPT_FREEZER_GUARDED_GROUPS_H_
#define CKPT_FREEZER_GUARDED_GROUPS_H_

#include <cstddef>
#include <memory>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "base/cancellation.h"
#include "base/last_will.h"
#include "freezer/cgroup.h"
#include "freezer/freezer.h"
#include "freezer/group_hold.h"
#include "freezer/group_lease.h"
#include "freezer/journal.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

class GuardedGroups {
 public:
  struct Options {
    GroupHold::Options hold = {.purpose = v1::HOLD_PURPOSE_FREEZE};
    // Where HandOver() prints; -1: it is not called.
    int output_fd = -1;
    // After HandOver() the groups have a lease of that length, but for those
    // that were frozen before, which stay so; with none, a lease ends.
    absl::optional<absl::Duration> lease = absl::nullopt;
    // A group that cannot be held is no failure of Take(): see taken().
    bool skip_refused = false;
  };

  // Holds all groups and starts the guardian.  On failure none is touched.
  //   InvalidArgument  a group is named twice, or is below another one
  //   errors of GroupHold::Take() and LastWill::Arm()
  static absl::StatusOr<std::unique_ptr<GuardedGroups>> Take(
      std::vector<std::unique_ptr<Cgroup>> groups, const Options& options,
      Journal& journal = Journal::Default());

  ~GuardedGroups() { (void)Release(); }
  GuardedGroups(const GuardedGroups&) = delete;
  GuardedGroups& operator=(const GuardedGroups&) = delete;

  size_t size() const { return freezers_.size(); }
  Freezer& freezer(size_t i) { return *freezers_[i]; }
  // Whether that group is held; it must not be touched otherwise.
  const absl::Status& taken(size_t i) const { return taken_[i]; }
  // Whether HandOver() starts a lease of it.
  bool has_lease(size_t i) const { return leases_[i] != nullptr; }

  // Exempts a group from what HandOver() does: a lease that it has goes on.
  void LeaveOut(size_t i);

  // Has `text` printed; from then on the groups stay as they are.  On failure
  // all of them are given back as they were.  `cancel` may be null.
  //   errors of LastWill::HandOver(), with what became of the groups
  absl::Status HandOver(absl::string_view text, const Cancellation* cancel);

  // Gives the own requests of before back and waits until they have effect.
  absl::Status GiveBack();

  // Ends the guardian and the hold; the groups stay as they are.
  absl::Status Release();

 private:
  GuardedGroups() = default;
  absl::Status Guard(const Options& options, Journal& journal);
  absl::Status PrepareLease(size_t i, const Options& options, Journal& journal);
  absl::Status GiveBack(size_t i);

  int output_fd_ = -1;
  std::vector<std::unique_ptr<Cgroup>> groups_;
  std::vector<std::unique_ptr<Freezer>> freezers_;
  std::vector<absl::Status> taken_;
  std::vector<std::unique_ptr<GroupHold>> holds_;    // null: not taken
  std::vector<std::unique_ptr<GroupLease>> leases_;  // null: none
  std::set<size_t> left_out_;
  LastWill guardian_;
};

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_GUARDED_GROUPS_H_
