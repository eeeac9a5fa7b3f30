#include "run/frame.h"

#include <signal.h>

#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "freezer/freezer.h"
#include "freezer/group_hold.h"
#include "freezer/kill.h"
#include "freezer/lookup.h"

namespace ckpt::run {
namespace {

constexpr char kJobGroup[] = "job";
constexpr absl::Duration kKillLimit = absl::Seconds(30);
constexpr absl::Duration kFreezeLimit = absl::Seconds(10);
constexpr absl::Duration kHoldLimit = absl::Seconds(10);

// A checkpoint, or the guardian of one that was killed, holds the group for a
// while.
absl::StatusOr<std::unique_ptr<freezer::GroupHold>> TakeWithPatience(
    freezer::Cgroup& group, const freezer::GroupHold::Options& options) {
  const absl::Time limit = Clock::Real().Now() + kHoldLimit;
  while (true) {
    auto hold = freezer::GroupHold::Take(group, options);
    if (!absl::IsUnavailable(hold.status()) || Clock::Real().Now() > limit) {
      return hold;
    }
    Clock::Real().Sleep(absl::Milliseconds(10));
  }
}

absl::Status RemoveWithGroupsBelow(freezer::Cgroup& group) {
  const auto children = group.Children();
  if (absl::IsNotFound(children.status())) return absl::OkStatus();
  CKPT_RETURN_IF_ERROR(children.status());
  for (const auto& child : *children) {
    CKPT_RETURN_IF_ERROR(RemoveWithGroupsBelow(*child));
  }
  return freezer::RemoveCgroup(group.path(), kKillLimit);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Frame>> Frame::Make(const std::string& name,
                                                   v1::Hierarchy hierarchy) {
  std::vector<std::string> made;
  CKPT_ASSIGN_OR_RETURN(auto group,
                        freezer::FindOrCreateCgroup(name, hierarchy, made));
  if (group->is_root()) {
    return absl::FailedPreconditionError(
        absl::StrCat("cgroup ", group->path(),
                     " is the root of its hierarchy, which cannot be frozen"));
  }
  CKPT_ASSIGN_OR_RETURN(
      auto job_group,
      freezer::FindOrCreateCgroup(absl::StrCat(group->path(), "/", kJobGroup),
                                  group->hierarchy(), made));
  return absl::WrapUnique(new Frame(std::move(group), std::move(job_group)));
}

absl::StatusOr<std::unique_ptr<Frame>> Frame::Open(const std::string& name,
                                                   v1::Hierarchy hierarchy) {
  CKPT_ASSIGN_OR_RETURN(auto group, freezer::FindCgroup(name, hierarchy));
  return absl::WrapUnique(new Frame(std::move(group), nullptr));
}

absl::StatusOr<v1::KillReport> Frame::KillAll(const Cancellation* cancel) {
  CKPT_ASSIGN_OR_RETURN(
      const auto hold,
      TakeWithPatience(*group_, {.purpose = v1::HOLD_PURPOSE_FREEZE,
                                 .give_back_frozen = false,
                                 .needs_journal = false}));
  freezer::Freezer freezer(*group_, ProcFs::Real(), Clock::Real());
  const absl::Time deadline = Clock::Real().Now() + kKillLimit;
  CKPT_ASSIGN_OR_RETURN(
      v1::KillReport report,
      freezer::KillGroup(freezer, SIGKILL,
                         {.deadline = deadline, .cancel = cancel}));
  // Also when it was empty: the next job would start frozen.  Its supervisor
  // may have removed it by now.
  const absl::Status thawed = freezer.Thaw({.deadline = deadline}).status();
  if (!thawed.ok() && !absl::IsNotFound(thawed)) return thawed;
  return report;
}

absl::StatusOr<v1::KillReport> Frame::Signal(int signal, pid_t spared,
                                             const Cancellation* cancel) {
  CKPT_ASSIGN_OR_RETURN(
      const auto hold,
      TakeWithPatience(*group_, {.purpose = v1::HOLD_PURPOSE_FREEZE}));
  freezer::Freezer freezer(*group_, ProcFs::Real(), Clock::Real());
  return freezer::KillGroup(freezer, signal,
                            {.deadline = Clock::Real().Now() + kFreezeLimit,
                             .cancel = cancel,
                             .spared = spared});
}

absl::Status Frame::Guard(LastWill& guardian) {
  std::vector<UniqueFd> open;  // until it is armed
  for (freezer::Cgroup* const group : {group_.get(), job_group_.get()}) {
    freezer::Freezer freezer(*group, ProcFs::Real(), Clock::Real());
    CKPT_ASSIGN_OR_RETURN(open.emplace_back(), freezer.OpenRequestFile());
    // A frozen task of v1 dies only when it is thawed.
    guardian.AddWrite(open.back().get(), freezer.RequestWord(false));
  }
  for (freezer::Cgroup* const group : {group_.get(), job_group_.get()}) {
    CKPT_ASSIGN_OR_RETURN(open.emplace_back(), group->OpenProcsForRead());
    guardian.AddKillListed(open.back().get(), kKillLimit);
  }
  return guardian.Arm();
}

absl::Status Frame::Suspend() {
  CKPT_ASSIGN_OR_RETURN(
      const auto hold,
      TakeWithPatience(*group_, {.purpose = v1::HOLD_PURPOSE_FREEZE}));
  freezer::Freezer freezer(*group_, ProcFs::Real(), Clock::Real());
  return freezer.Freeze({.deadline = Clock::Real().Now() + kFreezeLimit})
      .status();
}

absl::Status Frame::Resume() {
  CKPT_ASSIGN_OR_RETURN(
      const auto hold,
      TakeWithPatience(*group_, {.purpose = v1::HOLD_PURPOSE_FREEZE,
                                 .needs_journal = false}));
  freezer::Freezer freezer(*group_, ProcFs::Real(), Clock::Real());
  return freezer.Thaw({.deadline = Clock::Real().Now() + kFreezeLimit})
      .status();
}

absl::Status Frame::Remove() { return RemoveWithGroupsBelow(*group_); }

}  // namespace ckpt::run
