// The gRPC service: proto/agent.proto, by the callback API.  Nothing here
// decides anything: each call is handed to a worker, and there to a desk.
//
//   AgentService service(desks, CallerSource::Of(caller));
//   builder.RegisterService(&service);
//
// No reaction blocks.  Calls that find no free worker are refused with
// UNAVAILABLE, watches beyond their limit with RESOURCE_EXHAUSTED.
//
// Who calls is told by the connection, never by a message: either all that
// comes to one AgentService is of one caller (agent/local_listener.h), or each
// call is of the certificate that its connection was made with
// (agent/tls_server.h).
//
// Thread-safe.
#ifndef CKPT_AGENT_SERVICE_H_
#define CKPT_AGENT_SERVICE_H_

#include <utility>

#include "agent/caller_source.h"
#include "agent/group_desk.h"
#include "agent/job_desk.h"
#include "agent/metrics.h"
#include "agent/migration_desk.h"
#include "agent/operations.h"
#include "agent/reactors.h"
#include "agent/run_desk.h"
#include "agent/transfer_desk.h"
#include "agent/worker_pool.h"
#include "grpcpp/support/server_callback.h"
#include "proto/agent.grpc.pb.h"

namespace ckpt::agent {

// The longest request: a chunk of an image, or a list of what has arrived of
// one.
inline constexpr int kMaxRequestBytes = 4 << 20;

// What the services of all callers share.  Borrowed; must outlive them.
struct Desks {
  Metrics& metrics;
  GroupDesk& groups;
  JobDesk& jobs;
  RunDesk& runs;
  Operations& operations;
  WorkerPool& calls;       // for what ends soon
  WorkerPool& long_calls;  // for what waits for jobs, or reads whole images
  WorkerPool& watches;     // for Watch, one worker each
  TransferDesk& transfers;
  WorkerPool& carriers;  // for images on their way, one worker each call
  MigrationDesk& migrations;
  WorkerPool& peers;     // for the other nodes of migrations
  WorkerPool& verdicts;  // for what they ask once a job is held, or decided on
};

class AgentService : public v1::Agent::CallbackService {
 public:
  AgentService(const Desks& desks, CallerSource callers)
      : desks_(desks), callers_(std::move(callers)) {}

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;

  Unary* Freeze(Context* context, const v1::FreezeRequest* request,
                v1::FreezeResponse* response) override;
  Unary* Thaw(Context* context, const v1::ThawRequest* request,
              v1::FreezeResponse* response) override;
  Unary* Status(Context* context, const v1::StatusRequest* request,
                v1::StatusResponse* response) override;
  Unary* Kill(Context* context, const v1::KillRequest* request,
              v1::KillResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchEvent>* Watch(
      Context* context, const v1::WatchRequest* request) override;
  Unary* Check(Context* context, const v1::CheckRequest* request,
               v1::CheckReport* response) override;
  Unary* Dump(Context* context, const v1::DumpOperationRequest* request,
              v1::Operation* response) override;
  Unary* Restore(Context* context, const v1::RestoreOperationRequest* request,
                 v1::Operation* response) override;
  Unary* ListImages(Context* context, const v1::ListImagesRequest* request,
                    v1::ImageListReport* response) override;
  Unary* GetImage(Context* context, const v1::ImageRequest* request,
                  v1::ImageReport* response) override;
  Unary* VerifyImage(Context* context, const v1::ImageRequest* request,
                     v1::VerifyReport* response) override;
  Unary* RemoveImage(Context* context, const v1::ImageRequest* request,
                     v1::RemoveReport* response) override;
  grpc::ServerBidiReactor<v1::PushRequest, v1::PushReply>* PushImage(
      Context* context) override;
  grpc::ServerWriteReactor<v1::PullReply>* PullImage(
      Context* context, const v1::PullRequest* request) override;
  Unary* PinImage(Context* context, const v1::PinImageRequest* request,
                  v1::PinReport* response) override;
  Unary* VerifyFreeze(Context* context, const v1::VerifyFreezeRequest* request,
                      v1::VerifyFreezeReport* response) override;
  Unary* Recover(Context* context, const v1::RecoverRequest* request,
                 v1::RecoverReport* response) override;
  Unary* ListJobs(Context* context, const v1::ListJobsRequest* request,
                  v1::JobListReport* response) override;
  Unary* SuspendJob(Context* context, const v1::JobRequest* request,
                    v1::JobListReport* response) override;
  Unary* ResumeJob(Context* context, const v1::JobRequest* request,
                   v1::JobListReport* response) override;
  Unary* StopJob(Context* context, const v1::StopJobRequest* request,
                 v1::StopReport* response) override;
  Unary* KillJob(Context* context, const v1::KillJobRequest* request,
                 v1::KillReport* response) override;
  Unary* ReadJobLog(Context* context, const v1::JobLogRequest* request,
                    v1::JobLogChunk* response) override;
  Unary* GetOperation(Context* context, const v1::OperationRequest* request,
                      v1::Operation* response) override;
  Unary* ListOperations(Context* context,
                        const v1::ListOperationsRequest* request,
                        v1::OperationList* response) override;
  Unary* CancelOperation(Context* context, const v1::OperationRequest* request,
                         v1::Operation* response) override;
  Unary* Migrate(Context* context, const v1::MigrateOperationRequest* request,
                 v1::Operation* response) override;
  Unary* ContinueOperation(Context* context,
                           const v1::OperationRequest* request,
                           v1::Operation* response) override;
  Unary* GetMigration(Context* context, const v1::OperationRequest* request,
                      v1::MigrationRecord* response) override;
  Unary* DecideMigration(Context* context,
                         const v1::DecideMigrationRequest* request,
                         v1::MigrationRecord* response) override;
  grpc::ServerWriteReactor<v1::Operation>* WatchOperation(
      Context* context, const v1::OperationRequest* request) override;

 private:
  // Has a worker call `answer(caller, cancel)`, which gives a
  // StatusOr<Response>, and counts the call as `method`'s when it has ended.
  template <typename Response, typename Answer>
  Unary* CallOn(WorkerPool& pool, const char* method, const Context& context,
                Response* response, Answer answer);
  template <typename Response, typename Answer>
  Unary* Call(const char* method, const Context& context, Response* response,
              Answer answer);
  template <typename Response, typename Answer>
  Unary* LongCall(const char* method, const Context& context,
                  Response* response, Answer answer);

  // Counts a call of that method when it ends.
  CallEnded Counting(const char* method) const;

  const Desks desks_;
  const CallerSource callers_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_SERVICE_H_
