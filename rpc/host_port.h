// "HOST:PORT", as addresses of nodes are written: a name, an IPv4 address, or
// an IPv6 address in brackets.
//
//   CKPT_ASSIGN_OR_RETURN(const HostPort node, ParseHostPort("node2:7070"));
#ifndef CKPT_RPC_HOST_PORT_H_
#define CKPT_RPC_HOST_PORT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace ckpt::rpc {

// Value type.
struct HostPort {
  std::string host;  // without brackets
  uint16_t port = 0;

  // As it is written.
  std::string Text() const;
};

// InvalidArgument tells what is wrong.  Port 0, which stands for any free one
// where something listens, is for the caller to refuse.
absl::StatusOr<HostPort> ParseHostPort(const std::string& text);

}  // namespace ckpt::rpc

#endif  // CKPT_RPC_HOST_PORT_H_
