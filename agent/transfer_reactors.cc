#include "agent/transfer_reactors.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/server_context.h"
#include "rpc/status.h"

namespace ckpt::agent {
namespace {

// A worker waits meanwhile.  What is to come first is known to the caller.
constexpr absl::Duration kBeginLimit = absl::Seconds(30);
// An image leaves while it is written, and a stream may have nothing to carry
// for as long as CRIU is busy with something else.  Who is cut off goes on from
// what has arrived.
constexpr absl::Duration kIdleLimit = absl::Minutes(10);

// Has a worker do the work of a call, and end it.
template <typename Call, typename Caller, typename Work>
Call* StartOn(WorkerPool& pool, const std::string& name, Call* call,
              Caller& caller, Work work, const CallEnded& ended) {
  const absl::Status taken = pool.Submit(
      [call, &caller, work = std::move(work), ended] {
        const absl::Status status = work(caller);
        ended(status);
        call->Finish(rpc::ToGrpcStatus(status));
      },
      name);
  if (!taken.ok()) {
    const absl::Status refused = TooManyTransfers();
    ended(refused);
    call->Finish(rpc::ToGrpcStatus(refused));
  }
  return call;
}

}  // namespace

PushCall* PushCall::Start(WorkerPool& pool, const std::string& caller,
                          grpc::CallbackServerContext& context, Work work,
                          const CallEnded& ended) {
  auto* const call = new PushCall(context);  // deletes itself in OnDone()
  return StartOn<PushCall, PushCaller>(pool, caller, call, *call,
                                       std::move(work), ended);
}

bool PushCall::Read(v1::PushRequest* request, AlignedBytes* /*apart*/) {
  const bool ok = read_.Take([this, request] { StartRead(request); },
                             has_begun_ ? kIdleLimit : kBeginLimit,
                             [this] { context_.TryCancel(); });
  has_begun_ = true;
  return ok;
}

bool PushCall::Write(const v1::PushReply& reply) {
  return write_.Take([this, &reply] { StartWrite(&reply); }, kIdleLimit,
                     [this] { context_.TryCancel(); });
}

PullCall* PullCall::Start(WorkerPool& pool, const std::string& caller,
                          grpc::CallbackServerContext& context, Work work,
                          const CallEnded& ended) {
  auto* const call = new PullCall(context);  // deletes itself in OnDone()
  return StartOn<PullCall, PullCaller>(pool, caller, call, *call,
                                       std::move(work), ended);
}

bool PullCall::Write(const v1::PullReply& reply) {
  return write_.Take([this, &reply] { StartWrite(&reply); }, kIdleLimit,
                     [this] { context_.TryCancel(); });
}

}  // namespace ckpt::agent
