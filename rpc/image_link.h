// The way of images to and from a node, over gRPC: transfer/link.h.
//
//   const auto link = MakeImageLink({.node = "node2:7070"});
//   const auto push = transfer::Push::Begin(*link, announcement, fd, options);
//
// Each stream has a connection of its own: TLS then runs on several processors.
// One whose other end has vanished is noticed after about a minute.
#ifndef CKPT_RPC_IMAGE_LINK_H_
#define CKPT_RPC_IMAGE_LINK_H_

#include <memory>

#include "rpc/client.h"
#include "transfer/link.h"

namespace ckpt::rpc {

// Errors of Channel::Open() are those of the streams.
std::unique_ptr<transfer::Link> MakeImageLink(const ClientOptions& options);

}  // namespace ckpt::rpc

#endif  // CKPT_RPC_IMAGE_LINK_H_
