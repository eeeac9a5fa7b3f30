#include "freezer/guarded_groups.h"

#include <string>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/fault.h"
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
    CKPT_ASSIGN_OR_RETURN(auto hold,
                          GroupHold::Take(*group, options.hold, journal));
    guarded->holds_.push_back(std::move(hold));
    guarded->groups_.push_back(std::move(group));
  }
  CKPT_RETURN_IF_ERROR(FaultPoint("freeze.held"));
  CKPT_RETURN_IF_ERROR(guarded->Guard(options, journal));
  CKPT_RETURN_IF_ERROR(FaultPoint("freeze.guarded"));
  return guarded;
}

absl::Status GuardedGroups::PrepareLease(size_t i, const Options& options,
                                         Journal& journal) {
  if (!options.lease.has_value()) {
    holds_[i]->EndLeaseAfterHandOver(guardian_);
    return absl::OkStatus();
  }
  // A lease that goes on ends as it would have ended.
  const auto old = journal.Find(Journal::Kind::kLease, *groups_[i]);
  const bool frozen = holds_[i]->give_back_frozen() &&
                      (!old.has_value() || old->origin_frozen());
  CKPT_ASSIGN_OR_RETURN(
      auto lease,
      GroupLease::Prepare(*groups_[i], *options.lease, frozen, journal));
  lease->StartWith(guardian_);
  leases_.push_back(std::move(lease));
  return absl::OkStatus();
}

absl::Status GuardedGroups::Guard(const Options& options, Journal& journal) {
  if (output_fd_ >= 0) guardian_.KeepOpen(output_fd_);
  std::vector<UniqueFd> requests;  // open until the guardian has its copies
  for (size_t i = 0; i < groups_.size(); ++i) {
    if (groups_[i]->is_root()) continue;  // it has no freezer
    CKPT_ASSIGN_OR_RETURN(UniqueFd request, freezers_[i]->OpenRequestFile());
    guardian_.AddWrite(request.get(), freezers_[i]->RequestWord(
                                          holds_[i]->give_back_frozen()));
    requests.push_back(std::move(request));
    if (output_fd_ >= 0) {
      CKPT_RETURN_IF_ERROR(PrepareLease(i, options, journal));
    }
  }
  for (const auto& hold : holds_) hold->Protect(guardian_);
  return guardian_.Arm();
}

absl::Status GuardedGroups::GiveBack() {
  absl::Status result;
  for (size_t i = 0; i < freezers_.size(); ++i) {
    if (groups_[i]->is_root()) continue;
    absl::Status status =
        holds_[i]->give_back_frozen()
            ? freezers_[i]->WriteRequest(true)
            : freezers_[i]
                  ->Thaw({.deadline =
                              freezers_[i]->clock().Now() + kGiveBackLimit})
                  .status();
    // Removed; or its own request is taken back, and an ancestor has another.
    if (absl::IsNotFound(status) || absl::IsFailedPrecondition(status)) {
      continue;
    }
    result = AppendError(std::move(result), groups_[i]->path(), status);
  }
  return result;
}

absl::Status GuardedGroups::HandOver(absl::string_view text,
                                     const Cancellation* cancel) {
  absl::Status status = guardian_.HandOver(text, output_fd_, cancel);
  if (status.ok()) {
    for (const auto& hold : holds_) hold->Forget();
    for (const auto& lease : leases_) lease->Forget();
    return status;
  }
  // The guardian has done so, too, unless it was killed.
  const absl::Status back = GiveBack();
  status = WithMessage(
      status,
      absl::StrCat("the report could not be handed over: ", status.message(),
                   back.ok() ? "; what was frozen is given back as it "
                               "was"
                             : ""));
  return AppendError(std::move(status), "giving back", back);
}

absl::Status GuardedGroups::Release() {
  absl::Status status = guardian_.Disarm();
  leases_.clear();
  holds_.clear();
  return status;
}

}  // namespace ckpt::freezer
