// absl::Status over gRPC: code, message, and payloads as error details.
//
//   return ToGrpcStatus(status);                     // in a server
//   CKPT_RETURN_IF_ERROR(FromGrpcStatus(answer));    // in a client
//
// Payloads whose type URL is that of a message travel as google.rpc.Status
// (proto/rpc_status.proto), which every gRPC library reads.
//
// Caveat: HTTP/2 peers take 8 KiB of headers.  A long message is cut, a
// FreezeReport loses its task list and then blockers, strays and outsiders from
// the end, and a CheckReport findings from the end, until all fits; another
// payload that does not fit is left out.
//
// Thread-safe.
#ifndef CKPT_RPC_STATUS_H_
#define CKPT_RPC_STATUS_H_

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace ckpt::rpc {

grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace ckpt::rpc

#endif  // CKPT_RPC_STATUS_H_
