#include "agent/service.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agent/transfer_reactors.h"
#include "base/status.h"

namespace ckpt::agent {
namespace {

constexpr double kDefaultSeconds = 10;
// A worker waits meanwhile: whoever wants to wait longer asks again.
constexpr double kMostSeconds = 3600;

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
  bounded.set_timeout_seconds(
      std::max(std::min({asked, left, kMostSeconds}), 1e-3));
  return bounded;
}

}  // namespace

template <typename Response, typename Answer>
AgentService::Unary* AgentService::CallOn(WorkerPool& pool, const char* method,
                                          const Context& context,
                                          Response* response, Answer answer) {
  Caller caller = callers_.CallerOf(context);
  const std::string name = caller.name;
  return UnaryCall::Start(
      pool, name,
      [caller = std::move(caller), response,
       answer = std::move(answer)](const Cancellation& cancel) -> absl::Status {
        CKPT_ASSIGN_OR_RETURN(*response, answer(caller, cancel));
        return absl::OkStatus();
      },
      Counting(method));
}

CallEnded AgentService::Counting(const char* method) const {
  return [method, &metrics = desks_.metrics](const absl::Status& status) {
    metrics.CountCall(method, status.code());
  };
}

template <typename Response, typename Answer>
AgentService::Unary* AgentService::Call(const char* method,
                                        const Context& context,
                                        Response* response, Answer answer) {
  return CallOn(desks_.calls, method, context, response, std::move(answer));
}

template <typename Response, typename Answer>
AgentService::Unary* AgentService::LongCall(const char* method,
                                            const Context& context,
                                            Response* response, Answer answer) {
  return CallOn(desks_.long_calls, method, context, response,
                std::move(answer));
}

AgentService::Unary* AgentService::Freeze(Context* context,
                                          const v1::FreezeRequest* request,
                                          v1::FreezeResponse* response) {
  return LongCall("Freeze", *context, response,
                  [=, this](const Caller& caller, const Cancellation& cancel) {
                    auto frozen = desks_.groups.Freeze(
                        caller,
                        WithinDeadline(*request, *context, kDefaultSeconds),
                        cancel);
                    if (frozen.ok()) desks_.metrics.Frozen(*frozen);
                    return frozen;
                  });
}

AgentService::Unary* AgentService::Thaw(Context* context,
                                        const v1::ThawRequest* request,
                                        v1::FreezeResponse* response) {
  return Call("Thaw", *context, response,
              [=, this](const Caller& caller, const Cancellation& cancel) {
                return desks_.groups.Thaw(
                    caller, WithinDeadline(*request, *context, kDefaultSeconds),
                    cancel);
              });
}

AgentService::Unary* AgentService::Status(Context* context,
                                          const v1::StatusRequest* request,
                                          v1::StatusResponse* response) {
  return Call("Status", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.groups.Status(caller, *request);
              });
}

AgentService::Unary* AgentService::Kill(Context* context,
                                        const v1::KillRequest* request,
                                        v1::KillResponse* response) {
  return LongCall("Kill", *context, response,
                  [=, this](const Caller& caller, const Cancellation& cancel) {
                    return desks_.groups.Kill(
                        caller,
                        WithinDeadline(*request, *context, kDefaultSeconds),
                        cancel);
                  });
}

grpc::ServerWriteReactor<v1::WatchEvent>* AgentService::Watch(
    Context* context, const v1::WatchRequest* request) {
  const Caller caller = callers_.CallerOf(*context);
  return WatchCall::Start(
      desks_.watches, caller.name,
      [=, this](const Cancellation& cancel, const WatchCall::Emit& emit) {
        return desks_.groups.Watch(caller, *request, cancel, emit);
      },
      Counting("Watch"));
}

AgentService::Unary* AgentService::Check(Context* context,
                                         const v1::CheckRequest* request,
                                         v1::CheckReport* response) {
  return LongCall("Check", *context, response,
                  [=, this](const Caller& caller, const Cancellation& cancel) {
                    return desks_.jobs.Check(caller, *request, cancel);
                  });
}

AgentService::Unary* AgentService::Dump(Context* context,
                                        const v1::DumpOperationRequest* request,
                                        v1::Operation* response) {
  return Call("Dump", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.jobs.Dump(caller, *request);
              });
}

AgentService::Unary* AgentService::Restore(
    Context* context, const v1::RestoreOperationRequest* request,
    v1::Operation* response) {
  return Call("Restore", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.jobs.Restore(caller, *request);
              });
}

AgentService::Unary* AgentService::ListImages(Context* context,
                                              const v1::ListImagesRequest*,
                                              v1::ImageListReport* response) {
  return Call("ListImages", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.jobs.ListImages(caller);
              });
}

AgentService::Unary* AgentService::GetImage(Context* context,
                                            const v1::ImageRequest* request,
                                            v1::ImageReport* response) {
  return Call("GetImage", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.jobs.GetImage(caller, *request);
              });
}

AgentService::Unary* AgentService::VerifyImage(Context* context,
                                               const v1::ImageRequest* request,
                                               v1::VerifyReport* response) {
  return LongCall("VerifyImage", *context, response,
                  [=, this](const Caller& caller, const Cancellation& cancel) {
                    return desks_.jobs.VerifyImage(caller, *request, cancel);
                  });
}

AgentService::Unary* AgentService::RemoveImage(Context* context,
                                               const v1::ImageRequest* request,
                                               v1::RemoveReport* response) {
  return Call("RemoveImage", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.jobs.RemoveImage(caller, *request);
              });
}

grpc::ServerBidiReactor<v1::PushRequest, v1::PushReply>*
AgentService::PushImage(Context* context) {
  const Caller caller = callers_.CallerOf(*context);
  return PushCall::Start(
      desks_.carriers, caller.name, *context,
      [=, this](PushCaller& call) {
        return desks_.transfers.Push(caller, call);
      },
      Counting("PushImage"));
}

grpc::ServerWriteReactor<v1::PullReply>* AgentService::PullImage(
    Context* context, const v1::PullRequest* request) {
  const Caller caller = callers_.CallerOf(*context);
  return PullCall::Start(
      desks_.carriers, caller.name, *context,
      [=, this](PullCaller& call) {
        return desks_.transfers.Pull(caller, *request, call);
      },
      Counting("PullImage"));
}

AgentService::Unary* AgentService::PinImage(Context* context,
                                            const v1::PinImageRequest* request,
                                            v1::PinReport* response) {
  return Call("PinImage", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.jobs.PinImage(caller, *request);
              });
}

AgentService::Unary* AgentService::VerifyFreeze(
    Context* context, const v1::VerifyFreezeRequest* request,
    v1::VerifyFreezeReport* response) {
  return Call("VerifyFreeze", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.groups.VerifyFreeze(caller, *request);
              });
}

AgentService::Unary* AgentService::Recover(Context* context,
                                           const v1::RecoverRequest* request,
                                           v1::RecoverReport* response) {
  return Call("Recover", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.groups.Recover(caller, *request);
              });
}

AgentService::Unary* AgentService::ListJobs(Context* context,
                                            const v1::ListJobsRequest*,
                                            v1::JobListReport* response) {
  return Call("ListJobs", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.runs.List(caller);
              });
}

AgentService::Unary* AgentService::SuspendJob(Context* context,
                                              const v1::JobRequest* request,
                                              v1::JobListReport* response) {
  return LongCall("SuspendJob", *context, response,
                  [=, this](const Caller& caller, const Cancellation&) {
                    return desks_.runs.Suspend(caller, *request);
                  });
}

AgentService::Unary* AgentService::ResumeJob(Context* context,
                                             const v1::JobRequest* request,
                                             v1::JobListReport* response) {
  return Call("ResumeJob", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.runs.Resume(caller, *request);
              });
}

AgentService::Unary* AgentService::StopJob(Context* context,
                                           const v1::StopJobRequest* request,
                                           v1::StopReport* response) {
  return LongCall("StopJob", *context, response,
                  [=, this](const Caller& caller, const Cancellation& cancel) {
                    return desks_.runs.Stop(
                        caller,
                        WithinDeadline(*request, *context, kDefaultSeconds),
                        cancel);
                  });
}

AgentService::Unary* AgentService::KillJob(Context* context,
                                           const v1::KillJobRequest* request,
                                           v1::KillReport* response) {
  return LongCall("KillJob", *context, response,
                  [=, this](const Caller& caller, const Cancellation& cancel) {
                    return desks_.runs.Kill(
                        caller,
                        WithinDeadline(*request, *context, kDefaultSeconds),
                        cancel);
                  });
}

AgentService::Unary* AgentService::ReadJobLog(Context* context,
                                              const v1::JobLogRequest* request,
                                              v1::JobLogChunk* response) {
  return Call("ReadJobLog", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.runs.ReadLog(caller, *request);
              });
}

AgentService::Unary* AgentService::GetOperation(
    Context* context, const v1::OperationRequest* request,
    v1::Operation* response) {
  return Call("GetOperation", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.jobs.GetOperation(caller, *request);
              });
}

AgentService::Unary* AgentService::ListOperations(
    Context* context, const v1::ListOperationsRequest*,
    v1::OperationList* response) {
  return Call("ListOperations", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.jobs.ListOperations(caller);
              });
}

AgentService::Unary* AgentService::CancelOperation(
    Context* context, const v1::OperationRequest* request,
    v1::Operation* response) {
  return Call("CancelOperation", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.jobs.CancelOperation(caller, *request);
              });
}

AgentService::Unary* AgentService::Migrate(
    Context* context, const v1::MigrateOperationRequest* request,
    v1::Operation* response) {
  return Call("Migrate", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.migrations.Migrate(caller, *request);
              });
}

AgentService::Unary* AgentService::ContinueOperation(
    Context* context, const v1::OperationRequest* request,
    v1::Operation* response) {
  return Call("ContinueOperation", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.migrations.Continue(caller, *request);
              });
}

AgentService::Unary* AgentService::GetMigration(
    Context* context, const v1::OperationRequest* request,
    v1::MigrationRecord* response) {
  return Call("GetMigration", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.migrations.Get(caller, *request);
              });
}

AgentService::Unary* AgentService::DecideMigration(
    Context* context, const v1::DecideMigrationRequest* request,
    v1::MigrationRecord* response) {
  return Call("DecideMigration", *context, response,
              [=, this](const Caller& caller, const Cancellation&) {
                return desks_.migrations.Decide(caller, *request);
              });
}

grpc::ServerWriteReactor<v1::Operation>* AgentService::WatchOperation(
    Context* context, const v1::OperationRequest* request) {
  const Caller caller = callers_.CallerOf(*context);
  return OperationCall::Start(
      desks_.calls, caller.name, desks_.operations, request->operation_id(),
      [=, this] { return desks_.jobs.GetOperation(caller, *request); },
      Counting("WatchOperation"));
}

}  // namespace ckpt::agent
