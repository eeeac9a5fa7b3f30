// Where requests about groups are taken: admits them, keeps two from working on
// the same group, and has them done.
//
//   CKPT_ASSIGN_OR_RETURN(v1::FreezeResponse response,
//                         desk.Freeze(caller, request, cancel));
//
// All calls block.  Errors: PermissionDenied; Unavailable when another request
// works on the group; those of GroupWork.
//
// Thread-safe.  Borrows all for its lifetime.
#ifndef CKPT_AGENT_GROUP_DESK_H_
#define CKPT_AGENT_GROUP_DESK_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/caller.h"
#include "agent/gate.h"
#include "agent/group_claims.h"
#include "agent/work.h"
#include "base/cancellation.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::agent {

class GroupDesk {
 public:
  GroupDesk(const Gate& gate, GroupClaims& claims, GroupWork& work)
      : gate_(gate), claims_(claims), work_(work) {}

  absl::StatusOr<v1::FreezeResponse> Freeze(const Caller& caller,
                                            v1::FreezeRequest request,
                                            const Cancellation& cancel);
  absl::StatusOr<v1::FreezeResponse> Thaw(const Caller& caller,
                                          v1::ThawRequest request,
                                          const Cancellation& cancel);
  absl::StatusOr<v1::KillResponse> Kill(const Caller& caller,
                                        v1::KillRequest request,
                                        const Cancellation& cancel);
  absl::StatusOr<v1::StatusResponse> Status(const Caller& caller,
                                            v1::StatusRequest request);
  absl::StatusOr<v1::VerifyFreezeReport> VerifyFreeze(
      const Caller& caller, v1::VerifyFreezeRequest request);
  absl::StatusOr<v1::RecoverReport> Recover(const Caller& caller,
                                            const v1::RecoverRequest& request);
  absl::Status Watch(
      const Caller& caller, v1::WatchRequest request,
      const Cancellation& cancel,
      const std::function<absl::Status(const v1::WatchEvent&)>& emit);

 private:
  // Finds and admits the groups of a request, which names them by their
  // directories after that.
  template <typename Request>
  absl::Status Admit(const Caller& caller, Verb verb, Request& request);

  // Of the groups of an admitted request.
  template <typename Request>
  absl::StatusOr<GroupClaims::Claim> TakeClaim(const Caller& caller, Verb verb,
                                               const Request& request);

  const Gate& gate_;
  GroupClaims& claims_;
  GroupWork& work_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_GROUP_DESK_H_
