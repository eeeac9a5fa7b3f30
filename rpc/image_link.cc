#include "rpc/image_link.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/sync_stream.h"
#include "proto/agent.grpc.pb.h"
#include "rpc/channel.h"
#include "rpc/data_stream.h"
#include "rpc/host_port.h"
#include "rpc/push_call.h"
#include "rpc/tls_files.h"

namespace ckpt::rpc {
namespace {

absl::StatusOr<std::shared_ptr<Channel>> OpenChannel(
    const ClientOptions& options) {
  return Channel::Open(
      {.node = options.node, .tls = options.tls, .own_connection = true});
}

// One call on a channel of its own; or the reason why there is none.
class Call {
 public:
  explicit Call(const ClientOptions& options) : channel_(OpenChannel(options)) {
    if (channel_.ok()) stub_ = v1::Agent::NewStub((*channel_)->grpc());
  }

  v1::Agent::Stub* stub() const { return stub_.get(); }
  grpc::ClientContext& context() { return context_; }
  absl::Status Describe(const grpc::Status& status) const {
    return (*channel_)->Describe(status);
  }
  absl::Status status() const { return channel_.status(); }

 private:
  const absl::StatusOr<std::shared_ptr<Channel>> channel_;
  std::unique_ptr<v1::Agent::Stub> stub_;
  grpc::ClientContext context_;
};

// A push to a node that there is no way to.
class NoPush : public transfer::PushStream {
 public:
  explicit NoPush(absl::Status why) : why_(std::move(why)) {}

  bool Write(v1::PushRequest /*request*/) override { return false; }
  bool Read(v1::PushReply* /*reply*/) override { return false; }
  absl::Status Finish() override { return why_; }
  void Cancel() override {}

 private:
  const absl::Status why_;
};

// The call begins with the first that is done with it: gRPC waits for the
// connection then, and whoever cancels must have the stream already.
class GrpcPull : public transfer::PullStream {
 public:
  GrpcPull(const ClientOptions& options, const v1::PullRequest& request)
      : call_(options), request_(request) {}
  ~GrpcPull() override {
    if (stream_ == nullptr || finished_) return;
    call_.context().TryCancel();
    (void)stream_->Finish();
  }

  bool Read(v1::PullReply* reply) override {
    return Begin() && stream_->Read(reply);
  }
  absl::Status Finish() override {
    if (!Begin()) return call_.status();
    finished_ = true;
    return call_.Describe(stream_->Finish());
  }
  void Cancel() override { call_.context().TryCancel(); }

 private:
  bool Begin() {
    if (stream_ == nullptr && call_.stub() != nullptr) {
      stream_ = call_.stub()->PullImage(&call_.context(), request_);
    }
    return stream_ != nullptr;
  }

  Call call_;
  const v1::PullRequest request_;
  std::unique_ptr<grpc::ClientReader<v1::PullReply>> stream_;
  bool finished_ = false;
};

class GrpcLink : public transfer::Link {
 public:
  explicit GrpcLink(ClientOptions options) : options_(std::move(options)) {}

  std::unique_ptr<transfer::PushStream> OpenPush() override {
    auto channel = OpenChannel(options_);
    if (!channel.ok()) return std::make_unique<NoPush>(channel.status());
    return StartPushCall(*std::move(channel));
  }
  absl::StatusOr<std::unique_ptr<transfer::PushStream>> OpenData(
      uint16_t data_port) override {
    // A socket of this machine has none.
    CKPT_ASSIGN_OR_RETURN(HostPort node, ParseHostPort(options_.node));
    node.port = data_port;
    CKPT_ASSIGN_OR_RETURN(const TlsIdentity identity,
                          LoadTls(options_.tls.OrDefault()));
    return OpenDataStream(node, identity);
  }
  std::unique_ptr<transfer::PullStream> OpenPull(
      const v1::PullRequest& request) override {
    return std::make_unique<GrpcPull>(options_, request);
  }

 private:
  const ClientOptions options_;
};

}  // namespace

std::unique_ptr<transfer::Link> MakeImageLink(const ClientOptions& options) {
  return std::make_unique<GrpcLink>(options);
}

}  // namespace ckpt::rpc
