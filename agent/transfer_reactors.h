// The calls that carry images, as reactors of gRPC's callback API.  A worker
// works on each as long as it lasts, and waits while a message is on its way:
// nothing piles up.  A caller that says nothing for too long is cut off.
#ifndef CKPT_AGENT_TRANSFER_REACTORS_H_
#define CKPT_AGENT_TRANSFER_REACTORS_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "agent/reactors.h"
#include "agent/transfer_desk.h"
#include "agent/turn.h"
#include "agent/worker_pool.h"
#include "grpcpp/support/server_callback.h"
#include "proto/transfer.pb.h"

namespace ckpt::agent {

// Each owns itself and goes when gRPC is done with the call.
class PushCall : public grpc::ServerBidiReactor<v1::PushRequest, v1::PushReply>,
                 private PushCaller {
 public:
  using Work = std::function<absl::Status(PushCaller&)>;

  // `caller` is whose share of the pool it takes.
  static PushCall* Start(WorkerPool& pool, const std::string& caller,
                         grpc::CallbackServerContext& context, Work work,
                         const CallEnded& ended);

  void OnReadDone(bool ok) override { read_.Done(ok); }
  void OnWriteDone(bool ok) override { write_.Done(ok); }
  void OnDone() override { delete this; }

 private:
  explicit PushCall(grpc::CallbackServerContext& context) : context_(context) {}
  ~PushCall() override = default;

  bool Read(v1::PushRequest* request, AlignedBytes* apart) override;
  bool Write(const v1::PushReply& reply) override;

  grpc::CallbackServerContext& context_;
  bool has_begun_ = false;  // something has come; for the worker alone
  Turn read_;
  Turn write_;
};

class PullCall : public grpc::ServerWriteReactor<v1::PullReply>,
                 private PullCaller {
 public:
  using Work = std::function<absl::Status(PullCaller&)>;

  static PullCall* Start(WorkerPool& pool, const std::string& caller,
                         grpc::CallbackServerContext& context, Work work,
                         const CallEnded& ended);

  void OnWriteDone(bool ok) override { write_.Done(ok); }
  void OnDone() override { delete this; }

 private:
  explicit PullCall(grpc::CallbackServerContext& context) : context_(context) {}
  ~PullCall() override = default;

  bool Write(const v1::PullReply& reply) override;

  grpc::CallbackServerContext& context_;
  Turn write_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_TRANSFER_REACTORS_H_
