// A stream of a push beside gRPC: the chunks of an image on a connection by TLS
// alone, as gRPC takes about twice their processor time (docs/transfer.md).
#ifndef CKPT_RPC_DATA_STREAM_H_
#define CKPT_RPC_DATA_STREAM_H_

#include <memory>

#include "absl/status/statusor.h"
#include "rpc/host_port.h"
#include "rpc/tls_files.h"
#include "transfer/link.h"

namespace ckpt::rpc {

// Connects, which takes 1.5 s at most, beside the resolver, as the first answer
// does then.  Errors of TlsConnection::Connect().
absl::StatusOr<std::unique_ptr<transfer::PushStream>> OpenDataStream(
    const HostPort& data_port, const TlsIdentity& identity);

}  // namespace ckpt::rpc

#endif  // CKPT_RPC_DATA_STREAM_H_
