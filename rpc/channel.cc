#include "rpc/channel.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <initializer_list>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "base/status.h"
#include "grpc/grpc.h"
#include "grpc/support/log.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "rpc/status.h"
#include "rpc/tls_probe.h"

namespace ckpt::rpc {
namespace {

constexpr char kUnix[] = "unix:";

// A node that has vanished is noticed after both together.  ckptd allows a ping
// each 10 s (agent/tls_server.cc).
constexpr int kPingEveryMs = 30'000;
constexpr int kPingLimitMs = 20'000;
// Lists of images are the longest answers.
constexpr int kMaxAnswerBytes = 64 << 20;
constexpr absl::Duration kProbeLimit = absl::Seconds(5);

bool SaysOneOf(absl::string_view text,
               std::initializer_list<absl::string_view> words) {
  for (const absl::string_view word : words) {
    if (absl::StrContains(text, word)) return true;
  }
  return false;
}

// gRPC's words for a call that never left.
bool WasNotReached(absl::string_view said) {
  return SaysOneOf(said, {"failed to connect", "DNS resolution failed",
                          "empty address list", "connections to all backends"});
}

// Its words for one that may have arrived.
bool WasLost(absl::string_view said) {
  return SaysOneOf(said, {"losed", "reset", "Broken pipe", "watchdog timeout",
                          "timed out", "GOAWAY"});
}

absl::Status WhyNoSocket(const std::string& path, const absl::Status& said) {
  struct stat about = {};
  if (::stat(path.c_str(), &about) != 0 && errno == ENOENT) {
    return absl::UnavailableError(
        "there is no such socket: start ckptd, or give the path that it was "
        "started with");
  }
  if (absl::StrContains(said.message(), "ermission denied")) {
    return absl::UnavailableError(
        "this user may not connect: be root, or in the group that ckptd was "
        "started with (--group)");
  }
  return absl::UnavailableError(absl::StrCat(
      "nothing answers there: see that ckptd runs (", said.message(), ")"));
}

grpc::ChannelArguments Arguments(const ChannelOptions& options) {
  const bool is_remote = !absl::StartsWith(options.node, kUnix);
  grpc::ChannelArguments arguments;
  if (options.own_connection) {
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  }
  // Not a proxy from the environment.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(kMaxAnswerBytes);
  if (is_remote) {
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kPingEveryMs);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingLimitMs);
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  }
  return arguments;
}

}  // namespace

void KeepGrpcQuiet() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets it
  if (std::getenv("GRPC_VERBOSITY") != nullptr) return;
  ::gpr_set_log_function(+[](gpr_log_func_args*) {});
}

absl::StatusOr<std::shared_ptr<Channel>> Channel::Open(
    const ChannelOptions& options) {
  // For as long as this process lives.  Where gRPC is not used any more it ends
  // its threads, and one may be waiting for 10 s (its tcp_posix.cc,
  // run_poller).
  [[maybe_unused]] static const bool kInUse = (::grpc_init(), true);
  const bool is_remote = !absl::StartsWith(options.node, kUnix);
  if (!is_remote) {
    if (options.node == kUnix) {
      return absl::InvalidArgumentError(
          absl::StrCat("node '", options.node, "' lacks the socket's path"));
    }
    return std::shared_ptr<Channel>(new Channel(
        options.node, grpc::CreateCustomChannel(
                          options.node, grpc::InsecureChannelCredentials(),
                          Arguments(options))));
  }
  const auto address = ParseHostPort(options.node);
  if (!address.ok() || address->port == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "node '", options.node,
        "' is neither unix:PATH nor HOST:PORT, such as node2:7070"));
  }
  CKPT_ASSIGN_OR_RETURN(TlsIdentity identity, LoadTls(options.tls.OrDefault()));
  const auto credentials =
      grpc::SslCredentials({.pem_root_certs = identity.ca,
                            .pem_private_key = identity.key,
                            .pem_cert_chain = identity.cert});
  // Spelled out, as a host could have the name of a kind of address.
  const std::string target = absl::StrCat("dns:///", address->Text());
  std::shared_ptr<Channel> channel(new Channel(
      options.node,
      grpc::CreateCustomChannel(target, credentials, Arguments(options))));
  channel->address_ = *address;
  channel->identity_ = std::move(identity);
  return channel;
}

absl::Status Channel::Reason(const absl::Status& said) const {
  if (!address_.has_value()) {
    return WhyNoSocket(std::string(absl::StripPrefix(node_, kUnix)), said);
  }
  absl::Status reason = ProbeTls(*address_, identity_, kProbeLimit);
  if (!reason.ok()) return reason;
  return absl::UnavailableError(absl::StrCat(
      "it can be reached now, and could not before: ", said.message()));
}

absl::Status Channel::Describe(const grpc::Status& status) const {
  absl::Status said = FromGrpcStatus(status);
  if (said.code() != absl::StatusCode::kUnavailable) return said;
  // First, as the path of a socket is in the message, and in it is "ckptd".
  if (WasNotReached(said.message())) {
    const absl::Status reason = Reason(said);
    return absl::Status(reason.code(),
                        absl::StrCat("node ", node_, " cannot be reached: ",
                                     reason.message(), "; nothing was done"));
  }
  // An agent's own words.
  if (absl::StrContains(said.message(), "ckptd") || !WasLost(said.message())) {
    return said;
  }
  return WithMessage(
      said, absl::StrCat("the connection to node ", node_, " was lost (",
                         said.message(),
                         "); what was asked for may have been done: look, or "
                         "ask again"));
}

}  // namespace ckpt::rpc
