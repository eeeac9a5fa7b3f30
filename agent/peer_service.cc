#include "agent/peer_service.h"

#include "agent/reactors.h"
#include "base/status.h"

namespace ckpt::agent {

template <typename Request, typename Response>
PeerService::Unary* PeerService::Serve(
    const char* method,
    absl::StatusOr<Response> (MigrationDesk::*ask)(const Caller&,
                                                   const Request&),
    Context* context, const Request* request, Response* response) {
  return UnaryCall::Start(
      workers_,
      [=, this, caller = callers_.CallerOf(*context)](
          const Cancellation&) -> absl::Status {
        auto answer = (desk_.*ask)(caller, *request);
        CKPT_RETURN_IF_ERROR(answer.status());
        *response = *std::move(answer);
        return absl::OkStatus();
      },
      [method, &metrics = metrics_](const absl::Status& status) {
        metrics.CountCall(method, status.code());
      });
}

PeerService::Unary* PeerService::Prepare(Context* context,
                                         const v1::PeerPrepare* request,
                                         v1::PeerPrepared* response) {
  return Serve("Prepare", &MigrationDesk::Prepare, context, request, response);
}

PeerService::Unary* PeerService::Hold(Context* context,
                                      const v1::PeerMigration* request,
                                      v1::PeerDone* response) {
  return Serve("Hold", &MigrationDesk::Hold, context, request, response);
}

PeerService::Unary* PeerService::Release(Context* context,
                                         const v1::PeerMigration* request,
                                         v1::PeerReleased* response) {
  return Serve("Release", &MigrationDesk::Release, context, request, response);
}

PeerService::Unary* PeerService::Abort(Context* context,
                                       const v1::PeerPrepare* request,
                                       v1::PeerDone* response) {
  return Serve("Abort", &MigrationDesk::Abort, context, request, response);
}

PeerService::Unary* PeerService::Decision(Context* context,
                                          const v1::PeerMigration* request,
                                          v1::PeerDecided* response) {
  return Serve("Decision", &MigrationDesk::Answer, context, request, response);
}

}  // namespace ckpt::agent
