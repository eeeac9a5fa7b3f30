#include "freezer/guarded_groups.h"

#include <string>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/prepared_steps.h"
#include "base/proc.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace ckpt::freezer {
namespace {

constexpr absl::Duration kGiveBackLimit = absl::Seconds(5);

absl::Status CheckDisjoint(const std::vector<std::unique_ptr<Cgroup>>& groups) {
  for (const auto& one : groups) {
    for (const auto& other : groups) {
      if (one == other) continue;
      const bool same =
          one->hierarchy() == other->hierarchy() && one->id() == other->id();
      if (!same &&
          !absl::StartsWith(other->path(), absl::StrCat(one->path(), "/"))) {
        continue;
      }
      return absl::InvalidArgumentError(absl::StrCat(
          "cgroup ", other->path(),
          same ? " is named twice"
               : absl::StrCat(" is below ", one->path(),
                              ", which is named, too, and what is done to that "
                              "holds for it"),
          "; nothing was touched"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<GuardedGroups>> GuardedGroups::Take(
    std::vector<std::unique_ptr<Cgroup>> groups, const Options& options,
    Journal& journal) {
  CKPT_RETURN_IF_ERROR(CheckDisjoint(groups));
  auto guarded = absl::WrapUnique(new GuardedGroups);
  guarded->output_fd_ = options.output_fd;
  for (auto& group : groups) {
    guarded->freezers_.push_back(
        std::make_unique<Freezer>(*group, ProcFs::Real(), Clock::Real()));
    auto hold = GroupHold::Take(*group, options.hold, journal);
    if (!hold.ok() && !options.skip_refused) return hold.status();
    guarded->taken_.push_back(hold.status());
    guarded->holds_.push_back(hold.ok() ? *std::move(hold) : nullptr);
    guarded->groups_.push_back(std::move(group));
  }
  guarded->leases_.resize(guarded->size());
  CKPT_RETURN_IF_ERROR(FaultPoint("freeze.held"));
  const absl::Status armed = guarded->Guard(options, journal);
  if (options.hold.needs_journal) CKPT_RETURN_IF_ERROR(armed);
  CKPT_RETURN_IF_ERROR(FaultPoint("freeze.guarded"));
  return guarded;
}

absl::Status GuardedGroups::PrepareLease(size_t i, const Options& options,
                                         Journal& journal) {
  PreparedSteps& part = guardian_.AddPart();  // the i-th
  if (holds_[i] == nullptr || groups_[i]->is_root()) return absl::OkStatus();
  // What a lease has frozen was not frozen before.
  const bool was_frozen =
      holds_[i]->give_back_frozen() &&
      !journal.Find(Journal::Kind::kLease, *groups_[i]).has_value();
  if (!options.lease.has_value() || was_frozen) {
    holds_[i]->AddEndLease(part);
    return absl::OkStatus();
  }
  CKPT_ASSIGN_OR_RETURN(
      leases_[i], GroupLease::Prepare(*groups_[i], *options.lease, journal));
  leases_[i]->StartWith(guardian_, part);
  return absl::OkStatus();
}

absl::Status GuardedGroups::Guard(const Options& options, Journal& journal) {
  if (output_fd_ >= 0) guardian_.KeepOpen(output_fd_);
  std::vector<UniqueFd> requests;  // open until the guardian has its copies
  for (size_t i = 0; i < size(); ++i) {
    if (output_fd_ >= 0) {
      CKPT_RETURN_IF_ERROR(PrepareLease(i, options, journal));
    }
    // The root has no freezer.
    if (holds_[i] == nullptr || groups_[i]->is_root()) continue;
    CKPT_ASSIGN_OR_RETURN(UniqueFd request, freezers_[i]->OpenRequestFile());
    guardian_.AddWrite(request.get(), freezers_[i]->RequestWord(
                                          holds_[i]->give_back_frozen()));
    requests.push_back(std::move(request));
  }
  for (const auto& hold : holds_) {
    if (hold != nullptr) hold->Protect(guardian_);
  }
  return guardian_.Arm();
}

void GuardedGroups::LeaveOut(size_t i) {
  left_out_.insert(i);
  if (leases_[i] != nullptr) leases_[i]->Drop();
}

absl::Status GuardedGroups::GiveBack(size_t i) {
  if (holds_[i] == nullptr || groups_[i]->is_root()) return absl::OkStatus();
  Freezer& freezer = *freezers_[i];
  absl::Status status =
      holds_[i]->give_back_frozen()
          ? freezer.WriteRequest(true)
          : freezer.Thaw({.deadline = freezer.clock().Now() + kGiveBackLimit})
                .status();
  // Removed; or its own request is taken back, and an ancestor has another.
  if (absl::IsNotFound(status) || absl::IsFailedPrecondition(status)) {
    return absl::OkStatus();
  }
  return status;
}

absl::Status GuardedGroups::GiveBack() {
  absl::Status result;
  for (size_t i = 0; i < size(); ++i) {
    result = AppendError(std::move(result), groups_[i]->path(), GiveBack(i));
  }
  return result;
}

absl::Status GuardedGroups::HandOver(absl::string_view text,
                                     const Cancellation* cancel) {
  absl::Status status = guardian_.HandOver(text, output_fd_, cancel, left_out_);
  if (status.ok()) {
    for (const auto& hold : holds_) {
      if (hold != nullptr) hold->Forget();
    }
    for (const auto& lease : leases_) {
      if (lease != nullptr) lease->Forget();
    }
    return status;
  }
  // The guardian has done so, too, unless it was killed.
  const absl::Status back = GiveBack();
  status = WithMessage(
      status,
      absl::StrCat(
          "the report could not be handed over: ", status.message(),
          back.ok() ? "; what was frozen is given back as it was" : ""));
  return AppendError(std::move(status), "giving back", back);
}

absl::Status GuardedGroups::Release() {
  absl::Status status = guardian_.Disarm();
  leases_.clear();
  holds_.clear();
  return status;
}

}  // namespace ckpt::freezer
