// A gRPC server for one local caller.
#ifndef CKPT_AGENT_GRPC_SERVER_H_
#define CKPT_AGENT_GRPC_SERVER_H_

#include <memory>

#include "agent/caller.h"
#include "agent/local_listener.h"
#include "agent/service.h"

namespace ckpt::agent {

// Health checking and reflection are on for servers that are made after this.
// Call it once, before the first.
void EnableGrpcExtras();

// The desks are borrowed for the server's life.
std::unique_ptr<CallerServer> MakeGrpcServer(const Desks& desks,
                                             const Caller& caller);

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_GRPC_SERVER_H_
