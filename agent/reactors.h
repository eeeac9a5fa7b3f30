// The three kinds of calls, as reactors of gRPC's callback API.  Each owns
// itself and goes when gRPC is done with the call.
#ifndef CKPT_AGENT_REACTORS_H_
#define CKPT_AGENT_REACTORS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "agent/operations.h"
#include "agent/worker_pool.h"
#include "base/cancellation.h"
#include "grpcpp/support/server_callback.h"
#include "proto/agent.pb.h"
#include "proto/checkpoint.pb.h"
#include "rpc/status.h"

namespace ckpt::agent {

// Called once with what a call ends with, also when no worker was free.
using CallEnded = std::function<void(const absl::Status&)>;

// A call with one answer, which a worker gives.
class UnaryCall : public grpc::ServerUnaryReactor {
 public:
  // `work` fills the answer.  It may use the cancellation as long as it runs.
  using Work = std::function<absl::Status(const Cancellation&)>;

  // `caller` is whose share of the pool it takes.
  static UnaryCall* Start(WorkerPool& pool, const std::string& caller,
                          Work work, const CallEnded& ended) {
    auto* const call = new UnaryCall;  // deletes itself in OnDone()
    const absl::Status taken = pool.Submit(
        [call, ended, work = std::move(work)] {
          const absl::Status status = work(call->cancel_);
          ended(status);
          call->Finish(rpc::ToGrpcStatus(status));
        },
        caller);
    if (!taken.ok()) {
      ended(taken);
      call->Finish(rpc::ToGrpcStatus(taken));
    }
    return call;
  }

  void OnCancel() override { cancel_.Cancel(); }
  void OnDone() override { delete this; }

 private:
  UnaryCall() = default;
  ~UnaryCall() override = default;

  Cancellation cancel_;
};

// A stream of events that a worker finds.  The worker waits while an event is
// on its way: a slow reader slows the watch down, and nothing piles up.
class WatchCall : public grpc::ServerWriteReactor<v1::WatchEvent> {
 public:
  using Emit = std::function<absl::Status(const v1::WatchEvent&)>;
  using Work = std::function<absl::Status(const Cancellation&, const Emit&)>;

  static WatchCall* Start(WorkerPool& pool, const std::string& caller,
                          Work work, const CallEnded& ended);

  void OnWriteDone(bool ok) override;
  void OnCancel() override { cancel_.Cancel(); }
  void OnDone() override { delete this; }

 private:
  WatchCall() = default;
  ~WatchCall() override = default;

  absl::Status Send(const v1::WatchEvent& event);

  Cancellation cancel_;
  absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
};

// The stream of an operation's states.  No worker waits: the operation tells.
class OperationCall : public grpc::ServerWriteReactor<v1::Operation> {
 public:
  // `admit` decides, on a worker.
  static OperationCall* Start(
      WorkerPool& pool, const std::string& caller, Operations& operations,
      const std::string& id,
      std::function<absl::StatusOr<v1::Operation>()> admit, CallEnded ended);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  using Self = std::shared_ptr<OperationCall>;

  OperationCall(Operations& operations, std::string id, CallEnded on_end)
      : operations_(operations),
        id_(std::move(id)),
        on_end_(std::move(on_end)) {}

  static void Observe(const Self& self);
  void Tell(const v1::Operation& operation);
  // Writes the newest state, if it was not written yet, or ends the call.
  void Proceed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Operations& operations_;
  const std::string id_;
  const CallEnded on_end_;
  absl::Mutex mutex_;  // never held while the operations are called
  Self self_ ABSL_GUARDED_BY(mutex_);  // until gRPC is done
  int64_t observer_ ABSL_GUARDED_BY(mutex_) = 0;
  v1::Operation newest_ ABSL_GUARDED_BY(mutex_);
  bool has_news_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  v1::Operation sent_ ABSL_GUARDED_BY(mutex_);  // what gRPC writes now
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_REACTORS_H_
