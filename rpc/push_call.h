// A call of PushImage that nobody has to wait for.
//
// gRPC's blocking calls cannot be given up while a socket takes nothing: what
// is being written must be through first, and the other node may have been
// stopped.  Here a reactor keeps what gRPC still needs, and whoever has
// cancelled goes on.
#ifndef CKPT_RPC_PUSH_CALL_H_
#define CKPT_RPC_PUSH_CALL_H_

#include <memory>

#include "rpc/channel.h"
#include "transfer/link.h"

namespace ckpt::rpc {

// Begins a call, and does not wait for the node.  Once Cancel() was called none
// of its functions waits for longer than half a second.
std::unique_ptr<transfer::PushStream> StartPushCall(
    std::shared_ptr<Channel> channel);

}  // namespace ckpt::rpc

#endif  // CKPT_RPC_PUSH_CALL_H_
