#include "freezer/group_lease.h"

#include <utility>

#include "absl/memory/memory.h"
#include "base/status.h"
#include "freezer/backend.h"
#include "freezer/kernel_names.h"

namespace ckpt::freezer {

GroupLease::GroupLease(std::unique_ptr<JournalFile> entry, UniqueFd directory,
                       UniqueFd request, absl::string_view word)
    : entry_(std::move(entry)),
      directory_(std::move(directory)),
      request_(std::move(request)),
      lease_({.end = absl::Nanoseconds(entry_->entry().lease_end_boottime_ns()),
              .token_fd = entry_->fd(),
              .lock_fd = directory_.get(),
              .alive_file = kProcsFile}) {
  lease_.at_end().AddWrite(request_.get(), word);
  lease_.at_end().AddUnlink(
      entry_->dir_fd(),
      Journal::FileName(Journal::Kind::kLease, entry_->entry()));
}

absl::StatusOr<std::unique_ptr<GroupLease>> GroupLease::Make(
    Cgroup& group, std::unique_ptr<JournalFile> entry) {
  CKPT_ASSIGN_OR_RETURN(UniqueFd directory, group.OpenForLock());
  const auto backend = MakeBackend(group);
  CKPT_ASSIGN_OR_RETURN(UniqueFd request,
                        group.OpenForWrite(backend->request_file()));
  const bool frozen = entry->entry().origin_frozen();
  return absl::WrapUnique(new GroupLease(std::move(entry), std::move(directory),
                                         std::move(request),
                                         backend->request_word(frozen)));
}

absl::StatusOr<std::unique_ptr<GroupLease>> GroupLease::Prepare(
    Cgroup& group, absl::Duration length, Journal& journal) {
  v1::JournalEntry entry = MakeJournalEntry(group, v1::HOLD_PURPOSE_LEASE,
                                            /*give_back_frozen=*/false);
  entry.set_lease_end_boottime_ns(
      absl::ToInt64Nanoseconds(BootTime() + length));
  v1::Hold& hold = *entry.mutable_hold();
  hold.set_lease_until_unix_ns(hold.since_unix_ns() +
                               absl::ToInt64Nanoseconds(length));
  CKPT_ASSIGN_OR_RETURN(auto file, journal.Prepare(entry));
  return Make(group, std::move(file));
}

void GroupLease::StartWith(LastWill& guardian, PreparedSteps& part) {
  part.AddRename(entry_->dir_fd(), entry_->name(),
                 Journal::FileName(Journal::Kind::kLease, entry_->entry()));
  guardian.AddUnlink(entry_->dir_fd(), entry_->name());
  guardian.StartAtHandOver(lease_);
}

absl::Status GroupLease::Resume(Cgroup& group,
                                std::unique_ptr<JournalFile> entry) {
  // Before anything can fail: whatever does, the entry must not be lost.
  JournalFile& kept = *entry;
  auto lease = Make(group, std::move(entry));
  if (!lease.ok()) return lease.status();
  absl::Status started = (*lease)->lease_.Start();
  kept.Forget();
  return started;
}

void EndLease(const Cgroup& group, Journal& journal) {
  journal.Erase(Journal::Kind::kLease, group);
}

}  // namespace ckpt::freezer
