#include "rpc/client.h"

#include <utility>

#include "absl/memory/memory.h"
#include "base/on_cancel.h"
#include "base/status.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/sync_stream.h"
#include "proto/agent.grpc.pb.h"
#include "rpc/channel.h"

namespace ckpt::rpc {
namespace {

using Service = v1::Agent::Stub;

}  // namespace

struct Client::Stub {
  std::shared_ptr<Channel> channel;
  std::unique_ptr<Service> service;

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(
      grpc::Status (Service::*method)(grpc::ClientContext*, const Request&,
                                      Response*),
      const Request& request, const Cancellation* cancel) const {
    grpc::ClientContext context;
    Response response;
    grpc::Status status;
    {
      const OnCancel on_cancel(cancel, [&context] { context.TryCancel(); });
      status = (service.get()->*method)(&context, request, &response);
    }
    CKPT_RETURN_IF_ERROR(channel->Describe(status));
    return response;
  }

  template <typename Request, typename Event>
  absl::Status Stream(
      std::unique_ptr<grpc::ClientReader<Event>> (Service::*method)(
          grpc::ClientContext*, const Request&),
      const Request& request, const Cancellation* cancel,
      const std::function<absl::Status(const Event&)>& emit) const {
    grpc::ClientContext context;
    const OnCancel on_cancel(cancel, [&context] { context.TryCancel(); });
    const auto reader = (service.get()->*method)(&context, request);
    Event event;
    while (reader->Read(&event)) {
      absl::Status emitted = emit(event);
      if (!emitted.ok()) {
        context.TryCancel();
        (void)reader->Finish();
        return emitted;
      }
    }
    return channel->Describe(reader->Finish());
  }
};

Client::Client(std::unique_ptr<Stub> stub) : stub_(std::move(stub)) {}
Client::~Client() = default;

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(
    const ClientOptions& options) {
  auto stub = std::make_unique<Stub>();
  CKPT_ASSIGN_OR_RETURN(
      stub->channel, Channel::Open({.node = options.node, .tls = options.tls}));
  stub->service = v1::Agent::NewStub(stub->channel->grpc());
  return absl::WrapUnique(new Client(std::move(stub)));
}

absl::StatusOr<v1::FreezeResponse> Client::Freeze(
    const v1::FreezeRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::Freeze, request, cancel);
}

absl::StatusOr<v1::FreezeResponse> Client::Thaw(const v1::ThawRequest& request,
                                                const Cancellation* cancel) {
  return stub_->Call(&Service::Thaw, request, cancel);
}

absl::StatusOr<v1::StatusResponse> Client::Status(
    const v1::StatusRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::Status, request, cancel);
}

absl::StatusOr<v1::KillResponse> Client::Kill(const v1::KillRequest& request,
                                              const Cancellation* cancel) {
  return stub_->Call(&Service::Kill, request, cancel);
}

absl::Status Client::Watch(
    const v1::WatchRequest& request, const Cancellation* cancel,
    const std::function<absl::Status(const v1::WatchEvent&)>& emit) {
  return stub_->Stream(&Service::Watch, request, cancel, emit);
}

absl::StatusOr<v1::CheckReport> Client::Check(const v1::CheckRequest& request,
                                              const Cancellation* cancel) {
  return stub_->Call(&Service::Check, request, cancel);
}

absl::StatusOr<v1::Operation> Client::Dump(
    const v1::DumpOperationRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::Dump, request, cancel);
}

absl::StatusOr<v1::Operation> Client::Restore(
    const v1::RestoreOperationRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::Restore, request, cancel);
}

absl::StatusOr<v1::ImageListReport> Client::ListImages(
    const v1::ListImagesRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::ListImages, request, cancel);
}

absl::StatusOr<v1::ImageReport> Client::GetImage(
    const v1::ImageRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::GetImage, request, cancel);
}

absl::StatusOr<v1::VerifyReport> Client::VerifyImage(
    const v1::ImageRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::VerifyImage, request, cancel);
}

absl::StatusOr<v1::RemoveReport> Client::RemoveImage(
    const v1::ImageRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::RemoveImage, request, cancel);
}

absl::StatusOr<v1::PinReport> Client::PinImage(
    const v1::PinImageRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::PinImage, request, cancel);
}

absl::StatusOr<v1::VerifyFreezeReport> Client::VerifyFreeze(
    const v1::VerifyFreezeRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::VerifyFreeze, request, cancel);
}

absl::StatusOr<v1::RecoverReport> Client::Recover(
    const v1::RecoverRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::Recover, request, cancel);
}

absl::StatusOr<v1::JobListReport> Client::ListJobs(
    const v1::ListJobsRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::ListJobs, request, cancel);
}

absl::StatusOr<v1::JobListReport> Client::SuspendJob(
    const v1::JobRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::SuspendJob, request, cancel);
}

absl::StatusOr<v1::JobListReport> Client::ResumeJob(
    const v1::JobRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::ResumeJob, request, cancel);
}

absl::StatusOr<v1::StopReport> Client::StopJob(
    const v1::StopJobRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::StopJob, request, cancel);
}

absl::StatusOr<v1::KillReport> Client::KillJob(
    const v1::KillJobRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::KillJob, request, cancel);
}

absl::StatusOr<v1::JobLogChunk> Client::ReadJobLog(
    const v1::JobLogRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::ReadJobLog, request, cancel);
}

absl::StatusOr<v1::Operation> Client::GetOperation(
    const v1::OperationRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::GetOperation, request, cancel);
}

absl::StatusOr<v1::OperationList> Client::ListOperations(
    const v1::ListOperationsRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::ListOperations, request, cancel);
}

absl::StatusOr<v1::Operation> Client::CancelOperation(
    const v1::OperationRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::CancelOperation, request, cancel);
}

absl::StatusOr<v1::Operation> Client::Migrate(
    const v1::MigrateOperationRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::Migrate, request, cancel);
}

absl::StatusOr<v1::Operation> Client::ContinueOperation(
    const v1::OperationRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::ContinueOperation, request, cancel);
}

absl::StatusOr<v1::MigrationRecord> Client::GetMigration(
    const v1::OperationRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::GetMigration, request, cancel);
}

absl::StatusOr<v1::MigrationRecord> Client::DecideMigration(
    const v1::DecideMigrationRequest& request, const Cancellation* cancel) {
  return stub_->Call(&Service::DecideMigration, request, cancel);
}

absl::Status Client::WatchOperation(
    const v1::OperationRequest& request, const Cancellation* cancel,
    const std::function<absl::Status(const v1::Operation&)>& emit) {
  return stub_->Stream(&Service::WatchOperation, request, cancel, emit);
}

}  // namespace ckpt::rpc
