#include "freezer/frozen_scope.h"

#include <utility>

#include "absl/memory/memory.h"
#include "base/status.h"

namespace ckpt::freezer {
namespace {

constexpr absl::Duration kLeaveLimit = absl::Seconds(5);

}  // namespace

absl::StatusOr<std::unique_ptr<FrozenScope>> FrozenScope::Enter(
    Freezer& freezer, const FreezeOptions& options) {
  CKPT_ASSIGN_OR_RETURN(v1::FreezeReport report, freezer.Freeze(options));
  return absl::WrapUnique(new FrozenScope(freezer, std::move(report)));
}

absl::Status FrozenScope::Leave() {
  return was_frozen() ? LeaveFrozen() : LeaveThawed();
}

absl::Status FrozenScope::LeaveThawed() {
  if (!entered_) return absl::OkStatus();
  entered_ = false;
  absl::Status status =
      freezer_.Thaw({.deadline = freezer_.clock().Now() + kLeaveLimit})
          .status();
  if (absl::IsNotFound(status)) return absl::OkStatus();
  // An ancestor that was frozen before we came is the origin, too.
  if (absl::IsFailedPrecondition(status) &&
      !report_.before().frozen_ancestor().empty()) {
    return absl::OkStatus();
  }
  return status;
}

absl::Status FrozenScope::LeaveFrozen() {
  if (!entered_) return absl::OkStatus();
  entered_ = false;
  absl::Status status =
      freezer_.Freeze({.deadline = freezer_.clock().Now() + kLeaveLimit})
          .status();
  if (absl::IsNotFound(status) || absl::IsAborted(status)) {
    return absl::OkStatus();
  }
  return status;
}

}  // namespace ckpt::freezer
