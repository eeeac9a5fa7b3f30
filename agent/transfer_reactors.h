// The calls that carry images, as reactors of gRPC's callback API.  A worker
// works on each as long as it lasts, and waits while a message is on its way:
// nothing piles up.
#ifndef CKPT_AGENT_TRANSFER_REACTORS_H_
#define CKPT_AGENT_TRANSFER_REACTORS_H_

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "agent/reactors.h"
#include "agent/transfer_desk.h"
#include "agent/worker_pool.h"
#include "grpcpp/support/server_callback.h"
#include "proto/transfer.pb.h"

namespace ckpt::agent {

// What a worker waits for: a message that gRPC reads or writes.
//
// Thread-safe.
class Turn {
 public:
  // Calls `start`, and waits until Done(); whether the message went through.
  bool Take(const std::function<void()>& start);
  void Done(bool ok);

 private:
  absl::Mutex mutex_;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
  bool ok_ ABSL_GUARDED_BY(mutex_) = false;
};

// Each owns itself and goes when gRPC is done with the call.
class PushCall : public grpc::ServerBidiReactor<v1::PushRequest, v1::PushReply>,
                 private PushCaller {
 public:
  using Work = std::function<absl::Status(PushCaller&)>;

  static PushCall* Start(WorkerPool& pool, Work work, CallEnded ended);

  void OnReadDone(bool ok) override { read_.Done(ok); }
  void OnWriteDone(bool ok) override { write_.Done(ok); }
  void OnDone() override { delete this; }

 private:
  PushCall() = default;
  ~PushCall() override = default;

  bool Read(v1::PushRequest* request) override {
    return read_.Take([this, request] { StartRead(request); });
  }
  bool Write(const v1::PushReply& reply) override {
    return write_.Take([this, &reply] { StartWrite(&reply); });
  }

  Turn read_;
  Turn write_;
};

class PullCall : public grpc::ServerWriteReactor<v1::PullReply>,
                 private PullCaller {
 public:
  using Work = std::function<absl::Status(PullCaller&)>;

  static PullCall* Start(WorkerPool& pool, Work work, CallEnded ended);

  void OnWriteDone(bool ok) override { write_.Done(ok); }
  void OnDone() override { delete this; }

 private:
  PullCall() = default;
  ~PullCall() override = default;

  bool Write(const v1::PullReply& reply) override {
    return write_.Take([this, &reply] { StartWrite(&reply); });
  }

  Turn write_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_TRANSFER_REACTORS_H_
