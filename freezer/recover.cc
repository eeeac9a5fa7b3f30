#include "freezer/recover.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/host.h"
#include "base/lease.h"
#include "base/status.h"
#include "freezer/freezer.h"
#include "freezer/group_lease.h"
#include "freezer/group_lock.h"
#include "freezer/kill.h"

namespace ckpt::freezer {
namespace {

constexpr absl::Duration kThawLimit = absl::Seconds(5);
constexpr absl::Duration kEndLimit = absl::Seconds(10);

bool IsOfNewerCkpt(const v1::JournalEntry& entry) {
  return entry.format_version() > kJournalVersion;
}

absl::Status LeftByNewerCkpt(const v1::JournalEntry& entry) {
  return absl::FailedPreconditionError(absl::StrCat(
      "cgroup ", entry.cgroup(),
      " was left by a newer ckpt that was killed; run that one's 'ckpt "
      "recover'; nothing was touched"));
}

bool IsLease(const v1::JournalEntry& entry) {
  return entry.lease_end_boottime_ns() > 0;
}

// Whether the entry's tasks are somebody else's.  An error when that cannot be
// told: they must not run then.
absl::StatusOr<bool> HasLeft(const v1::JournalEntry& entry) {
  const std::string& file = entry.ended_if_exists();
  if (file.empty()) return false;
  if (::access(file.c_str(), F_OK) == 0) return true;
  const std::string directory = file.substr(0, file.rfind('/') + 1);
  if (errno == ENOENT && ::access(directory.c_str(), F_OK) == 0) return false;
  return absl::FailedPreconditionError(
      absl::StrCat("cgroup ", entry.cgroup(),
                   " holds a job that may have left by a "
                   "migration: ",
                   file, " would say so, and cannot be looked for (",
                   std::generic_category().message(errno),
                   "); the group was left as it is; try again where "
                   "that directory can be seen, or start ckptd, which knows"));
}

// A request that is taken back says that its holders had come as far: all have
// been killed, and who is there now is another one's.
absl::Status EndTasks(Freezer& freezer) {
  CKPT_ASSIGN_OR_RETURN(const v1::CgroupStatus found,
                        freezer.GetStatus(/*with_tasks=*/false));
  if (!found.self_freezing()) return absl::OkStatus();
  return KillGroup(freezer, SIGKILL,
                   {.deadline = freezer.clock().Now() + kEndLimit})
      .status();
}

// What the entry's death left undone; the caller holds the group's lock and
// owns the entry.
absl::Status GiveBack(Freezer& freezer, const v1::JournalEntry& entry) {
  CKPT_ASSIGN_OR_RETURN(const bool left, HasLeft(entry));
  if (left) return EndTasks(freezer);
  if (entry.origin_frozen()) {
    // Of all that a ckpt does, only a dump's CRIU thaws a frozen group for a
    // while.  If another one is thawed, somebody has wanted it so since.
    if (entry.hold().purpose() != v1::HOLD_PURPOSE_CHECKPOINT) {
      return absl::OkStatus();
    }
    // Not Freeze(): it was FROZEN before, and a task that blocks it now is no
    // reason to let go of it.
    return freezer.WriteRequest(true);
  }
  absl::Status status =
      freezer.Thaw({.deadline = freezer.clock().Now() + kThawLimit}).status();
  // Its own request is taken back; the ancestor is none of our business.
  if (absl::IsFailedPrecondition(status)) return absl::OkStatus();
  return status;
}

// In another mount namespace a group may be there and not to be seen.
absl::Status CheckIsMounted(const v1::JournalEntry& entry) {
  CKPT_ASSIGN_OR_RETURN(const HierarchyMounts mounts, FindHierarchyMounts());
  const std::string& mount =
      entry.hierarchy() == v1::HIERARCHY_V2 ? mounts.v2 : mounts.v1_freezer;
  if (!mount.empty() && absl::StartsWith(entry.cgroup(), mount + "/")) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("cgroup ", entry.cgroup(),
                   " is in no hierarchy that is mounted here; try again where "
                   "it is"));
}

v1::FreezerState StateOf(Freezer& freezer) {
  const auto status = freezer.GetStatus(/*with_tasks=*/false);
  return status.ok() ? status->state() : v1::FREEZER_STATE_UNSPECIFIED;
}

// One call of Recover().
class Recovery {
 public:
  Recovery(Journal& journal, const RecoverOptions& options)
      : journal_(journal), options_(options) {}

  absl::StatusOr<v1::RecoverReport> Run();

 private:
  // The group of an entry; null when it is no more.  Any other trouble is none
  // of the entry's: it may be all that tells of a frozen group.
  absl::StatusOr<std::unique_ptr<Cgroup>> OpenGroup(
      const v1::JournalEntry& entry);
  void RemoveStale(const Journal::Item& item);
  void RecoverGroup(const Journal::Item& item, Cgroup& group);
  // And has been let go of by it.
  bool IsHeldByOrphan(const Journal::Item& item);
  absl::Status Undo(const Journal::Item& item, Freezer& freezer,
                    v1::RecoveredGroup& result);

  Journal& journal_;
  const RecoverOptions& options_;
  v1::RecoverReport report_;
};

absl::StatusOr<std::unique_ptr<Cgroup>> Recovery::OpenGroup(
    const v1::JournalEntry& entry) {
  if (!IsValid(entry)) return nullptr;
  auto group = options_.open(entry.cgroup());
  if (absl::IsNotFound(group.status())) {
    CKPT_RETURN_IF_ERROR(CheckIsMounted(entry));
    return nullptr;
  }
  CKPT_RETURN_IF_ERROR(group.status());
  if ((*group)->hierarchy() != entry.hierarchy() ||
      (*group)->id() != entry.inode()) {
    return nullptr;
  }
  return group;
}

void Recovery::RemoveStale(const Journal::Item& item) {
  if (item.parsed) report_.set_stale(report_.stale() + 1);
  if (options_.dry_run) return;
  // Its destructor removes it.
  (void)journal_.TakeOver(item.name);
}

absl::Status Recovery::Undo(const Journal::Item& item, Freezer& freezer,
                            v1::RecoveredGroup& result) {
  auto entry = journal_.TakeOver(item.name);
  CKPT_RETURN_IF_ERROR(entry.status());
  const v1::JournalEntry& tells = (*entry)->entry();
  if (IsLease(tells) &&
      BootTime() < absl::Nanoseconds(tells.lease_end_boottime_ns())) {
    result.set_lease_resumed(true);
    return GroupLease::Resume(freezer.group(), *std::move(entry));
  }
  absl::Status status = GiveBack(freezer, tells);
  result.set_ended(status.ok() && HasLeft(tells).value_or(false));
  if (!status.ok()) (*entry)->Forget();  // it stays, for the next time
  return status;
}

void Recovery::RecoverGroup(const Journal::Item& item, Cgroup& group) {
  Freezer freezer(group, options_.proc, options_.clock);
  v1::RecoveredGroup result;
  result.set_cgroup(item.entry.cgroup());
  *result.mutable_hold() = item.entry.hold();
  result.set_found(StateOf(freezer));
  absl::Status status;
  if (!options_.dry_run) {
    const auto lock = LockGroup(group, journal_);
    status = lock.ok() ? Undo(item, freezer, result) : lock.status();
    // Another one was faster.
    if (absl::IsNotFound(status)) return;
  }
  result.set_now(StateOf(freezer));
  result.set_thawed(result.found() != v1::FREEZER_STATE_THAWED &&
                    result.now() == v1::FREEZER_STATE_THAWED);
  if (!status.ok()) result.set_problem(std::string(status.message()));
  *report_.add_groups() = std::move(result);
}

bool Recovery::IsHeldByOrphan(const Journal::Item& item) {
  if (!item.parsed || options_.dry_run) return false;
  const auto group = OpenGroup(item.entry);
  return group.ok() && *group != nullptr &&
         EndOrphan(**group, item.entry.hold());
}

absl::StatusOr<v1::RecoverReport> Recovery::Run() {
  CKPT_ASSIGN_OR_RETURN(const std::vector<Journal::Item> items,
                        journal_.List());
  for (const Journal::Item& item : items) {
    if (!item.entry.hold().abandoned() && !IsHeldByOrphan(item)) continue;
    absl::StatusOr<std::unique_ptr<Cgroup>> group = nullptr;
    if (item.parsed) {
      group = IsOfNewerCkpt(item.entry) ? LeftByNewerCkpt(item.entry)
                                        : OpenGroup(item.entry);
    }
    if (!group.ok()) {
      v1::RecoveredGroup& result = *report_.add_groups();
      result.set_cgroup(item.entry.cgroup());
      *result.mutable_hold() = item.entry.hold();
      result.set_problem(std::string(group.status().message()));
    } else if (*group == nullptr) {
      RemoveStale(item);
    } else {
      RecoverGroup(item, **group);
    }
  }
  return report_;
}

}  // namespace

absl::StatusOr<v1::RecoverReport> Recover(Journal& journal,
                                          const RecoverOptions& options) {
  return Recovery(journal, options).Run();
}

absl::Status RecoverLockedGroup(Cgroup& group, Journal& journal) {
  auto entry =
      journal.TakeOver(Journal::FileName(Journal::Kind::kOperation, group));
  if (absl::IsNotFound(entry.status())) return absl::OkStatus();
  CKPT_RETURN_IF_ERROR(entry.status());
  const v1::JournalEntry& tells = (*entry)->entry();
  if (IsOfNewerCkpt(tells)) {
    (*entry)->Forget();
    return LeftByNewerCkpt(tells);
  }
  if (!IsValid(tells)) return absl::OkStatus();  // removed
  Freezer freezer(group, ProcFs::Real(), Clock::Real());
  absl::Status status = GiveBack(freezer, tells);
  if (!status.ok()) (*entry)->Forget();
  return status;
}

}  // namespace ckpt::freezer
