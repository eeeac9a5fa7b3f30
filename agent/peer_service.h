// The gRPC service for other nodes' agents: proto/peer.proto.  As AgentService,
// it hands each call to a worker, and there to a desk.
#ifndef CKPT_AGENT_PEER_SERVICE_H_
#define CKPT_AGENT_PEER_SERVICE_H_

#include <utility>

#include "agent/caller_source.h"
#include "agent/metrics.h"
#include "agent/migration_desk.h"
#include "agent/worker_pool.h"
#include "grpcpp/support/server_callback.h"
#include "proto/peer.grpc.pb.h"

namespace ckpt::agent {

// Thread-safe.  Borrows desk and workers, of which a call may take one for as
// long as a restore takes, and those for verdicts: what is asked of jobs that
// are held, or have been decided on, does not wait for other jobs.
class PeerService : public v1::Peer::CallbackService {
 public:
  PeerService(MigrationDesk& desk, WorkerPool& workers, WorkerPool& verdicts,
              Metrics& metrics, CallerSource callers)
      : desk_(desk),
        workers_(workers),
        verdicts_(verdicts),
        metrics_(metrics),
        callers_(std::move(callers)) {}

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;

  Unary* Prepare(Context* context, const v1::PeerPrepare* request,
                 v1::PeerPrepared* response) override;
  Unary* Hold(Context* context, const v1::PeerMigration* request,
              v1::PeerDone* response) override;
  Unary* Release(Context* context, const v1::PeerMigration* request,
                 v1::PeerReleased* response) override;
  Unary* Abort(Context* context, const v1::PeerPrepare* request,
               v1::PeerDone* response) override;
  Unary* Decision(Context* context, const v1::PeerMigration* request,
                  v1::PeerDecided* response) override;

 private:
  // Has `ask` called with caller and request, and fills the response.
  template <typename Request, typename Response>
  Unary* Serve(WorkerPool& workers, const char* method,
               absl::StatusOr<Response> (MigrationDesk::*ask)(const Caller&,
                                                              const Request&),
               Context* context, const Request* request, Response* response);

  MigrationDesk& desk_;
  WorkerPool& workers_;
  WorkerPool& verdicts_;
  Metrics& metrics_;
  const CallerSource callers_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_PEER_SERVICE_H_
