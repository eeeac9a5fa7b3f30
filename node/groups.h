// What is done to groups without an image, from request to report: the same for
// `ckpt` and for the node's agent.
//
//   CKPT_ASSIGN_OR_RETURN(FrozenGroups frozen,
//                         Freeze(request, STDOUT_FILENO, cancel));
//   CKPT_RETURN_IF_ERROR(frozen.guarded->HandOver(text, cancel));  // it stands
//
// A request for one group fails with that group's error, which carries a
// FreezeReport where tasks are the reason (freezer/freezer.h); one for several
// groups is answered with a report of all.
//
// Errors of all: InvalidArgument, NotFound, and those of the operation named.
//
// Thread-safe.  `cancel` is borrowed for the call and may be null.
#ifndef CKPT_NODE_GROUPS_H_
#define CKPT_NODE_GROUPS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "freezer/cgroup.h"
#include "freezer/guarded_groups.h"
#include "freezer/verify.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::node {

inline constexpr double kDefaultTimeoutSeconds = 10;

// Groups that are frozen as long as nothing happens to this process: they stay
// so once `guarded` has handed over (GuardedGroups::HandOver()), and are given
// back otherwise.
struct FrozenGroups {
  v1::FreezeResponse response;
  std::unique_ptr<freezer::GuardedGroups> guarded;  // null: none is frozen
};

// `output_fd` is where HandOver() will print.
// Errors: of Freezer::Freeze() and GuardedGroups::Take().
absl::StatusOr<FrozenGroups> Freeze(const v1::FreezeRequest& request,
                                    int output_fd, const Cancellation* cancel);

// Errors: of Freezer::Thaw() and GuardedGroups::Take().
absl::StatusOr<v1::FreezeResponse> Thaw(const v1::ThawRequest& request,
                                        const Cancellation* cancel);

// Errors: of freezer::KillGroup() and GuardedGroups::Take().
absl::StatusOr<v1::KillResponse> Kill(const v1::KillRequest& request,
                                      const Cancellation* cancel);

// Errors: of freezer::DescribeGroup().
absl::StatusOr<v1::StatusResponse> Status(const v1::StatusRequest& request);

// Calls `emit` for each event.  OK when what was waited for has come, or when
// nothing was waited for and the time is over or all groups are gone.
//   DeadlineExceeded, Aborted  it has not come, or cannot come any more
//   Cancelled                  `cancel` says so
//   errors of `emit` and of StateWatch
absl::Status Watch(
    const v1::WatchRequest& request, const Cancellation* cancel,
    const std::function<absl::Status(const v1::WatchEvent&)>& emit);

// Whether a checkpoint of the tree would be legal.
//   InvalidArgument      no root of a tree
//   FailedPrecondition   the group is the root of its hierarchy
//   errors of freezer::VerifyFreeze() and FindCgroup()
absl::StatusOr<v1::VerifyFreezeReport> VerifyFreeze(
    const std::string& cgroup, v1::Hierarchy hierarchy,
    const freezer::TreeOptions& tree);

// The error that a report of several groups stands for: OK, or that of the
// first group that failed.
absl::Status Verdict(const v1::FreezeResponse& response);
absl::Status Verdict(const v1::KillResponse& response);
absl::Status Verdict(const v1::StatusResponse& response);

}  // namespace ckpt::node

#endif  // CKPT_NODE_GROUPS_H_
