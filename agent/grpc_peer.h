// The other node of a migration, over gRPC.
#ifndef CKPT_AGENT_GRPC_PEER_H_
#define CKPT_AGENT_GRPC_PEER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/metrics.h"
#include "migrate/seams.h"
#include "proto/transfer.pb.h"
#include "rpc/tls_files.h"

namespace ckpt::agent {

struct PeerOptions {
  std::string node;  // HOST:PORT, or unix:PATH
  rpc::TlsFiles tls = {};
  std::string source;  // how this node is reached
  // Called by a thread of the transfer; may be null.
  std::function<void(const v1::OperationProgress&)> on_progress = nullptr;
  Metrics* metrics = nullptr;  // told of what is sent; borrowed, may be null
};

// FailedPrecondition: a node could not ask a source of that name for its
// decision.
absl::Status CheckReachable(const std::string& node, const std::string& source);

// For one migration; by one thread.  Errors of rpc::Channel::Open().
absl::StatusOr<std::unique_ptr<migrate::Peer>> ConnectPeer(
    const PeerOptions& options);

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_GRPC_PEER_H_
