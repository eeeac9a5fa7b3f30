#include "rpc/image_link.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/sync_stream.h"
#include "proto/agent.grpc.pb.h"
#include "rpc/channel.h"

namespace ckpt::rpc {
namespace {

// One call on a channel of its own; or the reason why there is none.
class Call {
 public:
  explicit Call(const ClientOptions& options)
      : channel_(Channel::Open({.node = options.node,
                                .tls = options.tls,
                                .own_connection = true})) {
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

// The calls below begin with the first that is done with them: gRPC waits for
// the connection then, and whoever cancels must have the stream already.

class GrpcPush : public transfer::PushStream {
 public:
  explicit GrpcPush(const ClientOptions& options) : call_(options) {}
  ~GrpcPush() override {
    if (stream_ == nullptr || finished_) return;
    call_.context().TryCancel();
    (void)stream_->Finish();
  }

  bool Write(const v1::PushRequest& request) override {
    return Begin() && stream_->Write(request);
  }
  bool Read(v1::PushReply* reply) override {
    return Begin() && stream_->Read(reply);
  }
  absl::Status Finish() override {
    if (!Begin()) return call_.status();
    finished_ = true;
    stream_->WritesDone();
    return call_.Describe(stream_->Finish());
  }
  void Cancel() override { call_.context().TryCancel(); }

 private:
  bool Begin() {
    if (stream_ == nullptr && call_.stub() != nullptr) {
      stream_ = call_.stub()->PushImage(&call_.context());
    }
    return stream_ != nullptr;
  }

  Call call_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::PushRequest, v1::PushReply>>
      stream_;
  bool finished_ = false;
};

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
    return std::make_unique<GrpcPush>(options_);
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
