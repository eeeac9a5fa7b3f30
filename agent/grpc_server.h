// A gRPC server for one local caller, and what all servers have in common.
#ifndef CKPT_AGENT_GRPC_SERVER_H_
#define CKPT_AGENT_GRPC_SERVER_H_

#include <memory>

#include "agent/caller.h"
#include "agent/caller_servers.h"
#include "agent/service.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"

namespace ckpt::agent {

// Health checking and reflection are on for servers that are made after this.
// Call it once, before the first.
void EnableGrpcExtras();

// The desks are borrowed for the server's life.
std::unique_ptr<CallerServer> MakeGrpcServer(const Desks& desks,
                                             const Caller& caller);

// For servers of other kinds: limits, threads.
void ConfigureGrpcServer(grpc::ServerBuilder& builder);
// Gives calls a moment to end, cuts them off, and returns when none is left.
void EndGrpcServer(grpc::Server& server);

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_GRPC_SERVER_H_
