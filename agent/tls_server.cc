#include "agent/tls_server.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "agent/caller_source.h"
#include "agent/grpc_server.h"
#include "base/status.h"
#include "grpc/grpc_security_constants.h"
#include "grpc/support/log.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "grpcpp/server_builder.h"
#include "rpc/host_port.h"

namespace ckpt::agent {
namespace {

// A client that says nothing is not waited for any longer.
constexpr int kHandshakeLimitMs = 10'000;
// Clients ping every 30 s (rpc/channel.cc), and may so a little sooner.
constexpr int kLeastPingIntervalMs = 10'000;
// A client that has vanished is noticed after both together.
constexpr int kPingEveryMs = 60'000;
constexpr int kPingLimitMs = 20'000;
// Of one connection at a time.
constexpr int kMaxCalls = 128;

std::shared_ptr<grpc::ServerCredentials> MutualTls(const rpc::TlsFiles& files) {
  const auto provider =
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          files.key, files.cert, files.ca,
          static_cast<unsigned>(
              absl::ToInt64Seconds(TlsServer::kRotationInterval)));
  grpc::experimental::TlsServerCredentialsOptions options(provider);
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

struct HandshakeWatch {
  std::function<void(const std::string&)> refused;
  std::function<void(const std::string&)> log;
};
const HandshakeWatch* handshake_watch = nullptr;  // never destroyed

// "Handshake failed with fatal error SSL_ERROR_SSL: error:0A000086:SSL
// routines::certificate verify failed."
void OnGrpcLog(gpr_log_func_args* args) {
  const absl::string_view said = args->message;
  if (args->severity != GPR_LOG_SEVERITY_ERROR) return;
  if (!absl::StrContains(said, "Handshake failed")) {
    handshake_watch->log(absl::StrCat("gRPC: ", said));
    return;
  }
  const size_t reason = said.rfind("::");
  handshake_watch->refused(std::string(absl::StripSuffix(
      reason == absl::string_view::npos ? said : said.substr(reason + 2),
      ".")));
}

}  // namespace

TlsServer::TlsServer(const Desks& desks)
    : service_(desks, CallerSource::Tls()),
      peer_service_(desks.migrations, desks.peers, desks.verdicts,
                    desks.metrics, CallerSource::Tls()) {}

TlsServer::~TlsServer() {
  if (server_ != nullptr) EndGrpcServer(*server_);
}

absl::StatusOr<std::unique_ptr<TlsServer>> TlsServer::Start(
    const Desks& desks, const TlsServerOptions& options) {
  const auto asked = rpc::ParseHostPort(options.listen);
  if (!asked.ok()) {
    return WithMessage(asked.status(),
                       absl::StrCat("--listen ", asked.status().message()));
  }
  // The watcher of the files tells nothing of what is wrong with them.
  CKPT_RETURN_IF_ERROR(rpc::LoadTls(options.files).status());
  std::unique_ptr<TlsServer> server(new TlsServer(desks));
  grpc::ServerBuilder builder;
  ConfigureGrpcServer(builder);
  builder.RegisterService(&server->service_);
  builder.RegisterService(&server->peer_service_);
  // Not two agents on one port.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                             kHandshakeLimitMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxCalls);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kPingEveryMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingLimitMs);
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
      kLeastPingIntervalMs);
  int port = 0;
  builder.AddListeningPort(asked->Text(), MutualTls(options.files), &port);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || port == 0) {
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on ", options.listen,
        ": is the address one of this machine's, and the port free?"));
  }
  server->address_ =
      rpc::HostPort{.host = asked->host, .port = static_cast<uint16_t>(port)}
          .Text();
  return server;
}

void WatchHandshakes(std::function<void(const std::string& reason)> refused,
                     std::function<void(const std::string& line)> log) {
  handshake_watch = new HandshakeWatch{std::move(refused), std::move(log)};
  ::gpr_set_log_function(&OnGrpcLog);
}

}  // namespace ckpt::agent
