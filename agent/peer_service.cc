#include "agent/peer_service.h"

#include <string>
#include <utility>

#include "agent/reactors.h"
#include "base/status.h"

namespace ckpt::agent {

template <typename Request, typename Response>
PeerService::Unary* PeerService::Serve(
    WorkerPool& workers, const char* method,
    absl::StatusOr<Response> (MigrationDesk::*ask)(const Caller&,
                                                   const Request&),
    Context* context, const Request* request, Response* response) {
  Caller caller = callers_.CallerOf(*context);
  const std::string name = caller.name;
  return UnaryCall::Start(
      workers, name,
      [=, this,
       caller = std::move(caller)](const Cancellation&) -> absl::Status {
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
  return Serve(workers_, "Prepare", &MigrationDesk::Prepare, context, request,
               response);
}

PeerService::Unary* PeerService::Hold(Context* context,
                                      const v1::PeerMigration* request,
                                      v1::PeerDone* response) {
  return Serve(workers_, "Hold", &MigrationDesk::Hold, context, request,
               response);
}

PeerService::Unary* PeerService::Release(Context* context,
                                         const v1::PeerMigration* request,
                                         v1::PeerReleased* response) {
  return Serve(verdicts_, "Release", &MigrationDesk::Release, context, request,
               response);
}

PeerService::Unary* PeerService::Abort(Context* context,
                                       const v1::PeerPrepare* request,
                                       v1::PeerDone* response) {
  return Serve(verdicts_, "Abort", &MigrationDesk::Abort, context, request,
               response);
}

PeerService::Unary* PeerService::Decision(Context* context,
                                          const v1::PeerMigration* request,
                                          v1::PeerDecided* response) {
  return Serve(verdicts_, "Decision", &MigrationDesk::Answer, context, request,
               response);
}

}  // namespace ckpt::agent
