#include "freezer/group_status.h"

#include "base/status.h"

namespace ckpt::freezer {

absl::StatusOr<v1::CgroupStatus> DescribeGroup(Freezer& freezer,
                                               bool with_tasks,
                                               Journal& journal) {
  CKPT_ASSIGN_OR_RETURN(v1::CgroupStatus status, freezer.GetStatus(with_tasks));
  const auto operation =
      journal.Find(Journal::Kind::kOperation, freezer.group());
  const auto lease = journal.Find(Journal::Kind::kLease, freezer.group());
  const bool is_held = operation.has_value() && !operation->hold().abandoned();
  if (operation.has_value()) {
    *status.mutable_hold() = operation->hold();
    if (lease.has_value()) {
      status.mutable_hold()->set_lease_until_unix_ns(
          lease->hold().lease_until_unix_ns());
    }
  } else if (lease.has_value() && status.self_freezing()) {
    *status.mutable_hold() = lease->hold();
  }
  if (is_held) {
    status.set_lock_holder_pid(operation->hold().pid());
  } else if (with_tasks) {
    status.set_lock_holder_pid(freezer.group().LockHolder());
  }
  if (is_held && operation->hold().purpose() == v1::HOLD_PURPOSE_CHECKPOINT) {
    status.set_state(v1::FREEZER_STATE_CHECKPOINTING);
  }
  return status;
}

}  // namespace ckpt::freezer
