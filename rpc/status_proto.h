// absl::Status as a message, google.rpc.Status (proto/rpc_status.proto): the
// payloads, whose type URLs are those of messages, become details.
//
//   *operation.mutable_error() = ToStatusProto(status);
//
// Thread-safe.
#ifndef CKPT_RPC_STATUS_PROTO_H_
#define CKPT_RPC_STATUS_PROTO_H_

#include "absl/status/status.h"
#include "proto/rpc_status.pb.h"

namespace ckpt::rpc {

google::rpc::Status ToStatusProto(const absl::Status& status);
absl::Status FromStatusProto(const google::rpc::Status& proto);

}  // namespace ckpt::rpc

#endif  // CKPT_RPC_STATUS_PROTO_H_
