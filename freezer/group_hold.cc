#include "freezer/group_hold.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "freezer/backend.h"
#include "freezer/group_lock.h"
#include "freezer/recover.h"

namespace ckpt::freezer {
namespace {

// Whether the tasks may be somebody else's: not even a thaw may let them run.
bool MayHaveLeft(const Cgroup& group, const Journal& journal) {
  const auto entry = journal.Find(Journal::Kind::kOperation, group);
  return entry.has_value() && !entry->ended_if_exists().empty();
}

}  // namespace

absl::StatusOr<std::unique_ptr<GroupHold>> GroupHold::Take(
    Cgroup& group, const Options& options, Journal& journal) {
  CKPT_ASSIGN_OR_RETURN(UniqueFd lock, LockGroup(group, journal));
  auto hold = absl::WrapUnique(new GroupHold(group, std::move(lock)));
  if (group.is_root()) return hold;
  const absl::Status recovered = RecoverLockedGroup(group, journal);
  if (!recovered.ok()) {
    if (options.needs_journal || MayHaveLeft(group, journal)) return recovered;
    return hold;
  }
  CKPT_ASSIGN_OR_RETURN(const bool frozen, MakeBackend(group)->ReadRequest(0));
  hold->give_back_frozen_ = options.give_back_frozen.value_or(frozen);
  auto entry = journal.Write(
      Journal::Kind::kOperation,
      MakeJournalEntry(group, options.purpose, hold->give_back_frozen_,
                       options.ended_if_exists));
  if (entry.ok()) {
    hold->entry_ = *std::move(entry);
  } else if (options.needs_journal) {
    return WithMessage(
        entry.status(),
        absl::StrCat("cannot write down that cgroup ", group.path(),
                     " is to be frozen: ", entry.status().message(),
                     "; nothing was touched (another directory: "
                     "$CKPT_RUN_DIR)"));
  }
  return hold;
}

std::vector<int> GroupHold::descriptors() const {
  std::vector<int> fds = {lock_.get()};
  if (entry_ != nullptr) fds.push_back(entry_->fd());
  return fds;
}

void GroupHold::Protect(LastWill& guardian) {
  for (const int fd : descriptors()) guardian.KeepOpen(fd);
  if (entry_ == nullptr) return;
  guardian.AddUnlink(entry_->dir_fd(), entry_->name());
  guardian.after_hand_over().AddUnlink(entry_->dir_fd(), entry_->name());
}

void GroupHold::AddEndLease(PreparedSteps& steps) {
  if (entry_ == nullptr) return;
  steps.AddUnlink(entry_->dir_fd(),
                  Journal::FileName(Journal::Kind::kLease, group_));
}

void GroupHold::Forget() {
  if (entry_ != nullptr) entry_->Forget();
}

}  // namespace ckpt::freezer
