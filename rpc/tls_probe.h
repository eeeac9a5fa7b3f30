// Finds out why a node cannot be reached by TLS, of which gRPC says little: a
// connection is made, shown the certificates, and closed.
//
//   const absl::Status reason = ProbeTls(node, identity, absl::Seconds(5));
//
// Blocks as long as the resolver does, and then at most for the time given.
#ifndef CKPT_RPC_TLS_PROBE_H_
#define CKPT_RPC_TLS_PROBE_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rpc/host_port.h"
#include "rpc/tls_files.h"

namespace ckpt::rpc {

// OK when both ends take each other's certificate.  Otherwise tells whose is
// refused, why and what to do:
//   Unavailable      no such host, nobody listens there, no answer in time
//   Unauthenticated  one of the certificates is refused, or it is no TLS
absl::Status ProbeTls(const HostPort& node, const TlsIdentity& identity,
                      absl::Duration limit);

}  // namespace ckpt::rpc

#endif  // CKPT_RPC_TLS_PROBE_H_
