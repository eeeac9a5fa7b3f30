#include "agent/service.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agent/reactors.h"
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
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation& cancel) {
    return Fill(
        desks_.groups.Freeze(
            caller_, WithinDeadline(*request, *context, kDefaultSeconds),
            cancel),
        response);
  });
}

AgentService::Unary* AgentService::Thaw(Context* context,
                                        const v1::ThawRequest* request,
                                        v1::FreezeResponse* response) {
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation& cancel) {
    return Fill(
        desks_.groups.Thaw(caller_,
                           WithinDeadline(*request, *context, kDefaultSeconds),
                           cancel),
        response);
  });
}

AgentService::Unary* AgentService::Status(Context*,
                                          const v1::StatusRequest* request,
                                          v1::StatusResponse* response) {
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.groups.Status(caller_, *request), response);
  });
}

AgentService::Unary* AgentService::Kill(Context* context,
                                        const v1::KillRequest* request,
                                        v1::KillResponse* response) {
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation& cancel) {
    return Fill(
        desks_.groups.Kill(caller_,
                           WithinDeadline(*request, *context, kDefaultSeconds),
                           cancel),
        response);
  });
}

grpc::ServerWriteReactor<v1::WatchEvent>* AgentService::Watch(
    Context*, const v1::WatchRequest* request) {
  return WatchCall::Start(
      desks_.watches,
      [=, this](const Cancellation& cancel, const WatchCall::Emit& emit) {
        return desks_.groups.Watch(caller_, *request, cancel, emit);
      });
}

AgentService::Unary* AgentService::Check(Context*,
                                         const v1::CheckRequest* request,
                                         v1::CheckReport* response) {
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.Check(caller_, *request), response);
  });
}

AgentService::Unary* AgentService::Dump(Context*,
                                        const v1::DumpOperationRequest* request,
                                        v1::Operation* response) {
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.Dump(caller_, *request), response);
  });
}

AgentService::Unary* AgentService::Restore(
    Context*, const v1::RestoreOperationRequest* request,
    v1::Operation* response) {
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.Restore(caller_, *request), response);
  });
}

AgentService::Unary* AgentService::ListImages(Context*,
                                              const v1::ListImagesRequest*,
                                              v1::ImageListReport* response) {
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.ListImages(caller_), response);
  });
}

AgentService::Unary* AgentService::GetImage(Context*,
                                            const v1::ImageRequest* request,
                                            v1::ImageReport* response) {
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.GetImage(caller_, *request), response);
  });
}

AgentService::Unary* AgentService::VerifyImage(Context*,
                                               const v1::ImageRequest* request,
                                               v1::VerifyReport* response) {
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.VerifyImage(caller_, *request), response);
  });
}

AgentService::Unary* AgentService::RemoveImage(Context*,
                                               const v1::ImageRequest* request,
                                               v1::RemoveReport* response) {
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.RemoveImage(caller_, *request), response);
  });
}

AgentService::Unary* AgentService::GetOperation(
    Context*, const v1::OperationRequest* request, v1::Operation* response) {
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.GetOperation(caller_, *request), response);
  });
}

AgentService::Unary* AgentService::ListOperations(
    Context*, const v1::ListOperationsRequest*, v1::OperationList* response) {
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.ListOperations(caller_), response);
  });
}

AgentService::Unary* AgentService::CancelOperation(
    Context*, const v1::OperationRequest* request, v1::Operation* response) {
  return UnaryCall::Start(desks_.calls, [=, this](const Cancellation&) {
    return Fill(desks_.jobs.CancelOperation(caller_, *request), response);
  });
}

grpc::ServerWriteReactor<v1::Operation>* AgentService::WatchOperation(
    Context*, const v1::OperationRequest* request) {
  return OperationCall::Start(
      desks_.calls, desks_.operations, request->operation_id(),
      [=, this] { return desks_.jobs.GetOperation(caller_, *request); });
}

}  // namespace ckpt::agent
