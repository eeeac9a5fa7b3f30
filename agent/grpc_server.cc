#include "agent/grpc_server.h"

#include <chrono>
#include <utility>

#include "agent/caller_source.h"
#include "agent/peer_service.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/server_posix.h"

namespace ckpt::agent {
namespace {

// How long calls may take to end by themselves; then they are cancelled.
constexpr auto kGrace = std::chrono::milliseconds(200);

// What a caller may send before it is taken in.  By its own measure of the link
// gRPC lets many times as much pile up where the disk or the processor is what
// is slow.
constexpr int kAheadBytes = 2 << 20;

class GrpcServer : public CallerServer {
 public:
  GrpcServer(const Desks& desks, const Caller& caller)
      : service_(desks, CallerSource::Of(caller)),
        peer_service_(desks.migrations, desks.peers, desks.verdicts,
                      desks.metrics, CallerSource::Of(caller)) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    builder.RegisterService(&peer_service_);
    ConfigureGrpcServer(builder);
    server_ = builder.BuildAndStart();
  }

  ~GrpcServer() override {
    if (has_begun()) EndGrpcServer(*server_);
  }

  bool has_begun() const { return server_ != nullptr; }

  void Serve(UniqueFd connection) override {
    grpc::AddInsecureChannelFromFd(server_.get(), connection.Release());
  }

 private:
  AgentService service_;
  PeerService peer_service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

void EnableGrpcExtras() {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
}

void ConfigureGrpcServer(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES,
                             kAheadBytes);
  // Reflection is the one service that has threads of its own.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
}

void EndGrpcServer(grpc::Server& server) {
  server.Shutdown(std::chrono::system_clock::now() + kGrace);
  server.Wait();
}

std::unique_ptr<CallerServer> MakeGrpcServer(const Desks& desks,
                                             const Caller& caller) {
  auto server = std::make_unique<GrpcServer>(desks, caller);
  return server->has_begun() ? std::move(server) : nullptr;
}

}  // namespace ckpt::agent
