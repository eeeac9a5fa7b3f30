// The agent's server for other machines: TCP with mutual TLS, and nothing else.
//
//   CKPT_ASSIGN_OR_RETURN(const auto server,
//                         TlsServer::Start(desks, {.listen = "0.0.0.0:7070",
//                                                  .files = files}));
//   Log(server->address());
//
// Who has no certificate of our authority gets no further than the handshake
// (TLS 1.2 or 1.3).  Who a call is from are the names in its certificate
// (agent/caller_source.h).  The files are looked at every kRotationInterval:
// new certificates, keys and authorities are for the connections made from then
// on, and those that are there go on.  Until new files fit together, the old
// ones may be used, or new connections be refused.
//
// Thread-safe.
#ifndef CKPT_AGENT_TLS_SERVER_H_
#define CKPT_AGENT_TLS_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/peer_service.h"
#include "agent/service.h"
#include "grpcpp/server.h"
#include "rpc/tls_files.h"

namespace ckpt::agent {

struct TlsServerOptions {
  std::string listen;  // HOST:PORT; port 0 is any free one
  rpc::TlsFiles files;
};

class TlsServer {
 public:
  static constexpr absl::Duration kRotationInterval = absl::Seconds(5);

  // The desks are borrowed for the server's life.  InvalidArgument when
  // `listen` is no HOST:PORT; Unavailable when nothing can listen there; those
  // of LoadTls().
  static absl::StatusOr<std::unique_ptr<TlsServer>> Start(
      const Desks& desks, const TlsServerOptions& options);

  ~TlsServer();  // gives calls a moment to end, and cuts them off
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  // HOST:PORT with the port that it has.
  const std::string& address() const { return address_; }

 private:
  explicit TlsServer(const Desks& desks);

  AgentService service_;
  PeerService peer_service_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

// Has `refused` called with the reason of each TLS handshake that fails, from
// any thread.  gRPC tells of them only in its log, and not from where they
// came; its log's other errors go to `log`.  Call it once.
void WatchHandshakes(std::function<void(const std::string& reason)> refused,
                     std::function<void(const std::string& line)> log);

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_TLS_SERVER_H_
