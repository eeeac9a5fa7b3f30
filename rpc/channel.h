// A gRPC channel to a node, and words for what gRPC says when it fails.
//
//   CKPT_ASSIGN_OR_RETURN(const auto channel,
//                         Channel::Open({.node = "node2:7070",
//                                        .tls = TlsFiles::Default()}));
//   const auto stub = v1::Agent::NewStub(channel->grpc());
//   const grpc::Status status = stub->Status(&context, request, &response);
//   CKPT_RETURN_IF_ERROR(channel->Describe(status));
//
// "unix:PATH" is a socket of this machine, where the kernel tells the agent who
// calls.  "HOST:PORT" is mutual TLS: the node has to show a certificate of our
// authority that names HOST, and is shown ours.  The files are read once: who
// keeps a channel for long opens a new one when they change.
#ifndef CKPT_RPC_CHANNEL_H_
#define CKPT_RPC_CHANNEL_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "grpcpp/channel.h"
#include "grpcpp/support/status.h"
#include "rpc/host_port.h"
#include "rpc/tls_files.h"

namespace ckpt::rpc {

// gRPC writes of failed connections to standard error.  After this it does so
// only when $GRPC_VERBOSITY asks for it: Describe() tells better.
void KeepGrpcQuiet();

struct ChannelOptions {
  std::string node;  // unix:PATH or HOST:PORT
  TlsFiles tls =
      {};  // for HOST:PORT; those not named are TlsFiles::Default()'s
  // Else channels to one node share a connection.
  bool own_connection = false;
};

// Thread-safe.
class Channel {
 public:
  // Does not wait for the node.  InvalidArgument when `node` names none; those
  // of LoadTls().
  static absl::StatusOr<std::shared_ptr<Channel>> Open(
      const ChannelOptions& options);

  const std::string& node() const { return node_; }
  const std::shared_ptr<grpc::Channel>& grpc() const { return grpc_; }

  // The status of a call, which an agent or gRPC itself has given.  Where the
  // node was not reached: why, and what to do; nothing was done then, and the
  // code is Unavailable, or Unauthenticated when a certificate is the reason.
  // May then block for some seconds, to find that out.
  absl::Status Describe(const grpc::Status& status) const;

 private:
  Channel(std::string node, std::shared_ptr<grpc::Channel> channel)
      : node_(std::move(node)), grpc_(std::move(channel)) {}

  // Why the node is not reached.
  absl::Status Reason(const absl::Status& said) const;

  const std::string node_;
  const std::shared_ptr<grpc::Channel> grpc_;
  absl::optional<HostPort> address_;  // with TLS
  TlsIdentity identity_;
};

}  // namespace ckpt::rpc

#endif  // CKPT_RPC_CHANNEL_H_
