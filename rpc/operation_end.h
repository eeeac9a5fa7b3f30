// Whether an agent's operation (proto/agent.proto) has ended, one way or the
// other.
//
//   while (!rpc::HasEnded(operation)) ...
//
// Thread-safe.
#ifndef CKPT_RPC_OPERATION_END_H_
#define CKPT_RPC_OPERATION_END_H_

#include "proto/agent.pb.h"

namespace ckpt::rpc {

inline bool HasEnded(const v1::Operation& operation) {
  return operation.state() == v1::OPERATION_STATE_SUCCEEDED ||
         operation.state() == v1::OPERATION_STATE_FAILED;
}

}  // namespace ckpt::rpc

#endif  // CKPT_RPC_OPERATION_END_H_
