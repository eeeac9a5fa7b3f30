#include "agent/service.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agent/reactors.h"
#include "agent/transfer_reactors.h"
#include "base/status.h"

namespace ckpt::agent {
namespace {

// Puts the answer of a desk where gRPC wants it.
template <typename Response>
absl::Status Fill(absl::StatusOr<Response> result, Response* response) {
  CKPT_RETURN_IF_ERROR(result.status());
  *response = *std::move(result);
  return absl::OkStatus();
}

// The request, with a timeout that ends when the caller's deadline does.
template <typename Request>
Request WithinDeadline(const Request& request,
                       const grpc::CallbackServerContext& context,
                       double default_seconds) {
  Request bounded = request;
  const double left =
      absl::ToDoubleSeconds(absl::FromChrono(context.deadline()) - absl::Now());
  const double asked = request.timeout_seconds() > 0 ? request.timeout_seconds()
                                                     : default_seconds;
  // Zero would mean the default.
  bounded.set_timeout_seconds(std::max(std::min(asked, left), 1e-3));
  return bounded;
}

constexpr double kDefaultSeconds = 10;

}  // namespace

AgentService::Unary* AgentService::Freeze(Context* context,
                                          const v1::FreezeRequest* request,
                                          v1::FreezeResponse* response) {
  const Caller caller = callers_.CallerOf(*context);
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation& cancel) {
    return Fill(desks_.groups.Freeze(
                    caller, WithinDeadline(*request, *context, kDefaultSeconds),
                    cancel),
                response);
  });
}

AgentService::Unary* AgentService::Thaw(Context* context,
                                        const v1::ThawRequest* request,
                                        v1::FreezeResponse* response) {
  const Caller caller = callers_.CallerOf(*context);
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation& cancel) {
    return Fill(desks_.groups.Thaw(
                    caller, WithinDeadline(*request, *context, kDefaultSeconds),
                    cancel),
                response);
  });
}

AgentService::Unary* AgentService::Status(Context* context,
                                          const v1::StatusRequest* request,
                                          v1::StatusResponse* response) {
  const Caller caller = callers_.CallerOf(*context);
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.groups.Status(caller, *request), response);
  });
}

AgentService::Unary* AgentService::Kill(Context* context,
                                        const v1::KillRequest* request,
                                        v1::KillResponse* response) {
  const Caller caller = callers_.CallerOf(*context);
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation& cancel) {
    return Fill(desks_.groups.Kill(
                    caller, WithinDeadline(*request, *context, kDefaultSeconds),
                    cancel),
                response);
  });
}

grpc::ServerWriteReactor<v1::WatchEvent>* AgentService::Watch(
    Context* context, const v1::WatchRequest* request) {
  const Caller caller = callers_.CallerOf(*context);
  return WatchCall::Start(
      desks_.watches,
      [=, this](const Cancellation& cancel, const WatchCall::Emit& emit) {
        return desks_.groups.Watch(caller, *request, cancel, emit);
      });
}

AgentService::Unary* AgentService::Check(Context* context,
                                         const v1::CheckRequest* request,
                                         v1::CheckReport* response) {
  const Caller caller = callers_.CallerOf(*context);
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.Check(caller, *request), response);
  });
}

AgentService::Unary* AgentService::Dump(Context* context,
                                        const v1::DumpOperationRequest* request,
                                        v1::Operation* response) {
  const Caller caller = callers_.CallerOf(*context);
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.Dump(caller, *request), response);
  });
}

AgentService::Unary* AgentService::Restore(
    Context* context, const v1::RestoreOperationRequest* request,
    v1::Operation* response) {
  const Caller caller = callers_.CallerOf(*context);
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.Restore(caller, *request), response);
  });
}

AgentService::Unary* AgentService::ListImages(Context* context,
                                              const v1::ListImagesRequest*,
                                              v1::ImageListReport* response) {
  const Caller caller = callers_.CallerOf(*context);
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.ListImages(caller), response);
  });
}

AgentService::Unary* AgentService::GetImage(Context* context,
                                            const v1::ImageRequest* request,
                                            v1::ImageReport* response) {
  const Caller caller = callers_.CallerOf(*context);
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.GetImage(caller, *request), response);
  });
}

AgentService::Unary* AgentService::VerifyImage(Context* context,
                                               const v1::ImageRequest* request,
                                               v1::VerifyReport* response) {
  const Caller caller = callers_.CallerOf(*context);
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.VerifyImage(caller, *request), response);
  });
}

AgentService::Unary* AgentService::RemoveImage(Context* context,
                                               const v1::ImageRequest* request,
                                               v1::RemoveReport* response) {
  const Caller caller = callers_.CallerOf(*context);
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.RemoveImage(caller, *request), response);
  });
}

grpc::ServerBidiReactor<v1::PushRequest, v1::PushReply>*
AgentService::PushImage(Context* context) {
  const Caller caller = callers_.CallerOf(*context);
  return PushCall::Start(desks_.carriers, [=, this](PushCaller& call) {
    return desks_.transfers.Push(caller, call);
  });
}

grpc::ServerWriteReactor<v1::PullReply>* AgentService::PullImage(
    Context* context, const v1::PullRequest* request) {
  const Caller caller = callers_.CallerOf(*context);
  return PullCall::Start(desks_.carriers, [=, this](PullCaller& call) {
    return desks_.transfers.Pull(caller, *request, call);
  });
}

AgentService::Unary* AgentService::GetOperation(
    Context* context, const v1::OperationRequest* request,
    v1::Operation* response) {
  const Caller caller = callers_.CallerOf(*context);
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.GetOperation(caller, *request), response);
  });
}

AgentService::Unary* AgentService::ListOperations(
    Context* context, const v1::ListOperationsRequest*,
    v1::OperationList* response) {
  const Caller caller = callers_.CallerOf(*context);
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.ListOperations(caller), response);
  });
}

AgentService::Unary* AgentService::CancelOperation(
    Context* context, const v1::OperationRequest* request,
    v1::Operation* response) {
  const Caller caller = callers_.CallerOf(*context);
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.CancelOperation(caller, *request), response);
  });
}

grpc::ServerWriteReactor<v1::Operation>* AgentService::WatchOperation(
    Context* context, const v1::OperationRequest* request) {
  const Caller caller = callers_.CallerOf(*context);
  return OperationCall::Start(
      desks_.calls, desks_.operations, request->operation_id(),
      [=, this] { return desks_.jobs.GetOperation(caller, *request); });
}

}  // namespace ckpt::agent
