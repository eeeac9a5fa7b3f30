// A freeze that is undone on every path out of a scope.
//
//   CKPT_ASSIGN_OR_RETURN(auto scope, FrozenScope::Enter(freezer, options));
//   ... the group is FROZEN here ...
//   CKPT_RETURN_IF_ERROR(scope->Leave());   // or let the destructor do it
//
// Leaving gives the group the own request that it had before: one that was
// frozen stays frozen.
//
// Not thread-safe.  Borrows the Freezer for its lifetime.
#ifndef CKPT_FREEZER_FROZEN_SCOPE_H_
#define CKPT_FREEZER_FROZEN_SCOPE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "freezer/freezer.h"

namespace ckpt::freezer {

class FrozenScope {
 public:
  // Freezes; errors as Freezer::Freeze().
  static absl::StatusOr<std::unique_ptr<FrozenScope>> Enter(
      Freezer& freezer, const FreezeOptions& options);

  ~FrozenScope() { (void)Leave(); }
  FrozenScope(const FrozenScope&) = delete;
  FrozenScope& operator=(const FrozenScope&) = delete;

  const v1::FreezeReport& report() const { return report_; }
  v1::FreezeReport& mutable_report() { return report_; }

  // Whether the group was frozen by its own request before.
  bool was_frozen() const { return report_.before().self_freezing(); }

  // Restores the origin and reads it back.  A group that vanished (its tasks
  // were killed and it was removed) is no error.  A second call does nothing.
  absl::Status Leave();

  // Leaves it FROZEN, or thawed, instead; reads the state back.
  absl::Status LeaveFrozen();
  absl::Status LeaveThawed();

 private:
  FrozenScope(Freezer& freezer, v1::FreezeReport report)
      : freezer_(freezer), report_(std::move(report)) {}

  Freezer& freezer_;
  v1::FreezeReport report_;
  bool entered_ = true;
};

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_FROZEN_SCOPE_H_
