// The job's group during a dump: locked, watched, frozen, verified, verified
// again at the commit point, and given back.
//
//   CKPT_ASSIGN_OR_RETURN(auto held, HeldGroup::Take(*group, tree, proc,
//   clock)); CKPT_RETURN_IF_ERROR(held->Freeze({.deadline = limit}));
//   CKPT_RETURN_IF_ERROR(held->Verify());
//   ... CRIU seizes the tasks, thaws the group, writes the image ...
//   CKPT_RETURN_IF_ERROR(held->VerifySeized(criu->pid(), contents));
//   CKPT_RETURN_IF_ERROR(held->scope()->Leave());
//
// The kernel lets anybody thaw a group, or move tasks, at any time.  So from
// before the freeze to the commit point every write to the files of the group
// is noted (freezer/write_watch.h); one that is not ours and not CRIU's fails
// the dump, as the image may be one of a moving job.  Tasks that are moved out,
// also into a group that was made below meanwhile, leave no trace in these
// files: they are missed in the second verification.
//
// Not thread-safe.  The destructor gives the group back as it was.
#ifndef CKPT_CHECKPOINT_HELD_GROUP_H_
#define CKPT_CHECKPOINT_HELD_GROUP_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/proc.h"
#include "freezer/census.h"
#include "freezer/freezer.h"
#include "freezer/frozen_scope.h"
#include "freezer/group_hold.h"
#include "freezer/write_watch.h"
#include "store/criu_images.h"

namespace ckpt::checkpoint {

class HeldGroup {
 public:
  // Takes the group, with that file (errors as GroupHold::Take()).  Borrows all
  // for the lifetime.
  static absl::StatusOr<std::unique_ptr<HeldGroup>> Take(
      freezer::Cgroup& group, const freezer::TreeOptions& tree, ProcFs& proc,
      Clock& clock, const std::string& ended_if_exists = "");

  ~HeldGroup();
  HeldGroup(const HeldGroup&) = delete;
  HeldGroup& operator=(const HeldGroup&) = delete;

  freezer::Freezer& freezer() { return freezer_; }
  freezer::GroupHold& hold() { return *hold_; }

  // From here on CRIU's writes are expected, as it thaws and freezes, too.
  void ExpectWritesOf(pid_t criu) { criu_ = criu; }

  // Begins to watch, and freezes.  Errors as Freezer::Freeze(), after which the
  // group is as it was.
  absl::Status Freeze(const freezer::FreezeOptions& options);
  // Why the group is not watched, or "".
  const std::string& why_unwatched() const { return why_unwatched_; }

  // Every task of the tree, and no other, is in the frozen group, and nobody
  // meddled since the freeze.  FailedPrecondition names strays, outsiders or an
  // ancestor that freezes, too; Aborted names who meddled.
  absl::Status Verify();

  // The exception has joined the frozen group since: verifies that it is frozen
  // too, and that the tree is whole in the group now.  Errors as Freeze() and
  // Verify().
  absl::Status VerifyWithJoined(const freezer::FreezeOptions& options);

  // Readable when somebody wrote to the group's files; -1 when unwatched.
  int watch_fd() const { return watch_ == nullptr ? -1 : watch_->fd(); }
  // Aborted names a writer that is neither we nor CRIU.  When CRIU works on the
  // tasks, it can undo that afterwards: a freeze that would stop it with them
  // is taken back.
  absl::Status CheckWrites();

  // At the commit point, with CRIU holding all tasks: nobody meddled, the tasks
  // are those that were verified, where they were; CRIU holds each; and
  // `image` has just them.  Aborted tells what differs.  On success the watch
  // ends: the image does not depend any more on what becomes of the group.
  absl::Status VerifySeized(const ImageContents& image);

  // After VerifySeized(): freezes the group once more, with CRIU holding all
  // tasks, so that they stand still even if CRIU dies.  Errors as Freeze();
  // Aborted as VerifySeized().
  absl::Status FreezeSeized(const freezer::FreezeOptions& options);
  // Nobody has thawed it since.  Aborted.
  absl::Status CheckFrozen();

  // `why` CRIU failed, or, where somebody meddled since Verify(), Aborted that
  // says so, with `why` added.
  absl::Status ExplainFailure(absl::Status why);

  // Null before Freeze().
  freezer::FrozenScope* scope() { return scope_.get(); }
  // What Verify() saw.
  const freezer::Census& census() const { return census_; }

 private:
  HeldGroup(freezer::Cgroup& group, const freezer::TreeOptions& tree,
            ProcFs& proc, Clock& clock,
            std::unique_ptr<freezer::GroupHold> hold)
      : tree_(tree),
        proc_(proc),
        hold_(std::move(hold)),
        freezer_(group, proc, clock) {}

  absl::Status StartWatch();
  // And the groups below it.
  absl::Status WatchGroup(freezer::Cgroup& group);
  bool IsHarmless(const freezer::GroupWrite& write);
  absl::Status CheckTracers();
  absl::Status CheckImage(const ImageContents& image);

  freezer::TreeOptions tree_;
  ProcFs& proc_;
  const std::unique_ptr<freezer::GroupHold> hold_;
  freezer::Freezer freezer_;
  pid_t criu_ = 0;
  std::unique_ptr<freezer::WriteWatch> watch_;
  std::unique_ptr<freezer::WriteWatch> ended_watch_;  // not looked at any more
  std::string why_unwatched_;
  bool criu_wrote_ = false;  // the freezer's file: it thawed the group
  std::unique_ptr<freezer::FrozenScope> scope_;
  freezer::Census census_;
};

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_HELD_GROUP_H_
