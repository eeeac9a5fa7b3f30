#include "agent/transfer_reactors.h"

#include <utility>

#include "rpc/status.h"

namespace ckpt::agent {
namespace {

// Has a worker do the work of a call, and end it.
template <typename Call, typename Caller, typename Work>
Call* StartOn(WorkerPool& pool, Call* call, Caller& caller, Work work,
              const CallEnded& ended) {
  const absl::Status taken =
      pool.Submit([call, &caller, work = std::move(work), ended] {
        const absl::Status status = work(caller);
        ended(status);
        call->Finish(rpc::ToGrpcStatus(status));
      });
  if (!taken.ok()) {
    const absl::Status refused = absl::UnavailableError(
        "this node's ckptd has as many images on their way as it may, or is "
        "about to end; try again later");
    ended(refused);
    call->Finish(rpc::ToGrpcStatus(refused));
  }
  return call;
}

}  // namespace

bool Turn::Take(const std::function<void()>& start) {
  const absl::MutexLock lock(&mutex_);
  busy_ = true;
  start();
  // What a call that is cancelled was doing is done, too, with failure.
  mutex_.Await(absl::Condition(
      +[](bool* busy) { return !*busy; }, &busy_));
  return ok_;
}

void Turn::Done(bool ok) {
  const absl::MutexLock lock(&mutex_);
  busy_ = false;
  ok_ = ok;
}

PushCall* PushCall::Start(WorkerPool& pool, Work work, CallEnded ended) {
  auto* const call = new PushCall;  // deletes itself in OnDone()
  return StartOn<PushCall, PushCaller>(pool, call, *call, std::move(work),
                                       ended);
}

PullCall* PullCall::Start(WorkerPool& pool, Work work, CallEnded ended) {
  auto* const call = new PullCall;  // deletes itself in OnDone()
  return StartOn<PullCall, PullCaller>(pool, call, *call, std::move(work),
                                       ended);
}

}  // namespace ckpt::agent
