// Where requests about jobs and images are taken: admits them, keeps two from
// working on the same group, and has them done; dumps and restores as
// operations (agent/operations.h).
//
//   CKPT_ASSIGN_OR_RETURN(v1::Operation operation, desk.Dump(caller, request));
//
// An image is admitted by the group that its job was in; one whose manifest
// cannot be read is for those who may do it to all groups.
//
// All calls may block, but none for as long as a dump or a restore takes.
// Errors: PermissionDenied; InvalidArgument for what is not for remote callers;
// those of JobWork and Operations.
//
// Thread-safe.  Borrows all for its lifetime.
#ifndef CKPT_AGENT_JOB_DESK_H_
#define CKPT_AGENT_JOB_DESK_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/caller.h"
#include "agent/gate.h"
#include "agent/group_claims.h"
#include "agent/operations.h"
#include "agent/work.h"
#include "base/cancellation.h"
#include "proto/agent.pb.h"
#include "proto/check.pb.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::agent {

// InvalidArgument for options of CRIU that are not for remote callers.
absl::Status CheckRemoteCriu(const v1::CriuOptions& options);

class JobDesk {
 public:
  JobDesk(const Gate& gate, GroupClaims& claims, Operations& operations,
          JobWork& work)
      : gate_(gate), claims_(claims), operations_(operations), work_(work) {}

  absl::StatusOr<v1::CheckReport> Check(const Caller& caller,
                                        const v1::CheckRequest& request,
                                        const Cancellation& cancel);

  absl::StatusOr<v1::Operation> Dump(const Caller& caller,
                                     const v1::DumpOperationRequest& request);
  absl::StatusOr<v1::Operation> Restore(
      const Caller& caller, const v1::RestoreOperationRequest& request);

  absl::StatusOr<v1::ImageListReport> ListImages(const Caller& caller);
  absl::StatusOr<v1::ImageReport> GetImage(const Caller& caller,
                                           const v1::ImageRequest& request);
  absl::StatusOr<v1::VerifyReport> VerifyImage(const Caller& caller,
                                               const v1::ImageRequest& request,
                                               const Cancellation& cancel);
  absl::StatusOr<v1::RemoveReport> RemoveImage(const Caller& caller,
                                               const v1::ImageRequest& request);
  absl::StatusOr<v1::PinReport> PinImage(const Caller& caller,
                                         const v1::PinImageRequest& request);

  absl::StatusOr<v1::Operation> GetOperation(
      const Caller& caller, const v1::OperationRequest& request);
  absl::StatusOr<v1::OperationList> ListOperations(const Caller& caller);
  absl::StatusOr<v1::Operation> CancelOperation(
      const Caller& caller, const v1::OperationRequest& request);

 private:
  // The path of the group of an image, "" when nothing tells it.
  absl::StatusOr<std::string> PathOfImage(const std::string& image);
  absl::Status AdmitImage(const Caller& caller, Verb verb,
                          const std::string& image);
  absl::StatusOr<v1::Operation> AdmitOperation(const Caller& caller, Verb verb,
                                               const std::string& id);
  // What only root of the node, or who has the verb everywhere, may have a
  // restore do because the image says so.
  absl::Status CheckOrigin(const Caller& caller,
                           const v1::RestoreRequest& request);
  // Where a restore leads, by the request or by the image.
  absl::StatusOr<GroupPlace> Destination(const v1::RestoreRequest& request);

  const Gate& gate_;
  GroupClaims& claims_;
  Operations& operations_;
  JobWork& work_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_JOB_DESK_H_
