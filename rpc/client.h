// A node's agent, as its clients see it: one blocking function for each call of
// proto/agent.proto.
//
//   CKPT_ASSIGN_OR_RETURN(const auto node, Client::Connect(
//                             {.node = "unix:/run/ckpt/ckptd.sock"}));
//   CKPT_ASSIGN_OR_RETURN(v1::FreezeResponse response,
//                         node->Freeze(request, cancel));
//
// A cancellation is passed on to the node; the call returns when the node has
// answered it.  Errors are those of proto/agent.proto, with their payloads;
// Unavailable when the node cannot be reached, Unauthenticated when it, or we,
// are not who the certificates say.
//
// Thread-safe.  `cancel` is borrowed for the call and may be null.
#ifndef CKPT_RPC_CLIENT_H_
#define CKPT_RPC_CLIENT_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "proto/agent.pb.h"
#include "proto/check.pb.h"
#include "proto/checkpoint.pb.h"
#include "rpc/tls_files.h"

namespace ckpt::rpc {

struct ClientOptions {
  std::string node;   // unix:PATH or HOST:PORT
  TlsFiles tls = {};  // as ChannelOptions has them (rpc/channel.h)
};

class Client {
 public:
  // Does not wait for the node.  Errors: those of Channel::Open().
  static absl::StatusOr<std::unique_ptr<Client>> Connect(
      const ClientOptions& options);

  ~Client();

  absl::StatusOr<v1::FreezeResponse> Freeze(const v1::FreezeRequest& request,
                                            const Cancellation* cancel);
  absl::StatusOr<v1::FreezeResponse> Thaw(const v1::ThawRequest& request,
                                          const Cancellation* cancel);
  absl::StatusOr<v1::StatusResponse> Status(const v1::StatusRequest& request,
                                            const Cancellation* cancel);
  absl::StatusOr<v1::KillResponse> Kill(const v1::KillRequest& request,
                                        const Cancellation* cancel);
  // An error of `emit` ends it, and is returned.
  absl::Status Watch(
      const v1::WatchRequest& request, const Cancellation* cancel,
      const std::function<absl::Status(const v1::WatchEvent&)>& emit);
  absl::StatusOr<v1::CheckReport> Check(const v1::CheckRequest& request,
                                        const Cancellation* cancel);
  absl::StatusOr<v1::Operation> Dump(const v1::DumpOperationRequest& request,
                                     const Cancellation* cancel);
  absl::StatusOr<v1::Operation> Restore(
      const v1::RestoreOperationRequest& request, const Cancellation* cancel);
  absl::StatusOr<v1::ImageListReport> ListImages(
      const v1::ListImagesRequest& request, const Cancellation* cancel);
  absl::StatusOr<v1::ImageReport> GetImage(const v1::ImageRequest& request,
                                           const Cancellation* cancel);
  absl::StatusOr<v1::VerifyReport> VerifyImage(const v1::ImageRequest& request,
                                               const Cancellation* cancel);
  absl::StatusOr<v1::RemoveReport> RemoveImage(const v1::ImageRequest& request,
                                               const Cancellation* cancel);
  absl::StatusOr<v1::PinReport> PinImage(const v1::PinImageRequest& request,
                                         const Cancellation* cancel);
  absl::StatusOr<v1::VerifyFreezeReport> VerifyFreeze(
      const v1::VerifyFreezeRequest& request, const Cancellation* cancel);
  absl::StatusOr<v1::RecoverReport> Recover(const v1::RecoverRequest& request,
                                            const Cancellation* cancel);
  absl::StatusOr<v1::JobListReport> ListJobs(const v1::ListJobsRequest& request,
                                             const Cancellation* cancel);
  absl::StatusOr<v1::JobListReport> SuspendJob(const v1::JobRequest& request,
                                               const Cancellation* cancel);
  absl::StatusOr<v1::JobListReport> ResumeJob(const v1::JobRequest& request,
                                              const Cancellation* cancel);
  absl::StatusOr<v1::StopReport> StopJob(const v1::StopJobRequest& request,
                                         const Cancellation* cancel);
  absl::StatusOr<v1::KillReport> KillJob(const v1::KillJobRequest& request,
                                         const Cancellation* cancel);
  absl::StatusOr<v1::JobLogChunk> ReadJobLog(const v1::JobLogRequest& request,
                                             const Cancellation* cancel);
  absl::StatusOr<v1::Operation> GetOperation(
      const v1::OperationRequest& request, const Cancellation* cancel);
  absl::StatusOr<v1::OperationList> ListOperations(
      const v1::ListOperationsRequest& request, const Cancellation* cancel);
  absl::StatusOr<v1::Operation> CancelOperation(
      const v1::OperationRequest& request, const Cancellation* cancel);
  absl::StatusOr<v1::Operation> Migrate(
      const v1::MigrateOperationRequest& request, const Cancellation* cancel);
  absl::StatusOr<v1::Operation> ContinueOperation(
      const v1::OperationRequest& request, const Cancellation* cancel);
  absl::StatusOr<v1::MigrationRecord> GetMigration(
      const v1::OperationRequest& request, const Cancellation* cancel);
  absl::StatusOr<v1::MigrationRecord> DecideMigration(
      const v1::DecideMigrationRequest& request, const Cancellation* cancel);
  absl::Status WatchOperation(
      const v1::OperationRequest& request, const Cancellation* cancel,
      const std::function<absl::Status(const v1::Operation&)>& emit);

 private:
  struct Stub;  // keeps gRPC's headers out of this one
  explicit Client(std::unique_ptr<Stub> stub);

  const std::unique_ptr<Stub> stub_;
};

}  // namespace ckpt::rpc

#endif  // CKPT_RPC_CLIENT_H_
