// The agent's port for the data of images: further streams of PushImage by
// mutual TLS alone, which take about half of the processor time that they take
// by gRPC (docs/transfer.md).
//
//   CKPT_ASSIGN_OR_RETURN(const auto server,
//                         DataServer::Start({.listen = {"0.0.0.0", 7071},
//                                            .files = files}, ...));
//   desk.OfferDataPort(server->port());
//
// Who calls are the names in the certificate, and what they may do the desk
// decides, as for gRPC (agent/tls_server.h); a stream that is no further one of
// a push that is under way is refused.  The certificates' files are read anew
// for a connection that comes TlsServer::kRotationInterval after they were.
//
// Thread-safe.
#ifndef CKPT_AGENT_DATA_SERVER_H_
#define CKPT_AGENT_DATA_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "agent/metrics.h"
#include "agent/transfer_desk.h"
#include "agent/worker_pool.h"
#include "base/cancellation.h"
#include "base/unique_fd.h"
#include "rpc/host_port.h"
#include "rpc/tls_connection.h"
#include "rpc/tls_files.h"

namespace ckpt::agent {

// What it refers to is borrowed.
struct DataServerOptions {
  rpc::HostPort listen;  // port 0: any free one
  rpc::TlsFiles files;
  TransferDesk& desk;
  WorkerPool& carriers;
  Metrics& metrics;
  // Told of each connection that is refused before it is known whose it is, by
  // any thread.
  std::function<void(const std::string& reason)> refused;
};

class DataServer {
 public:
  // Unavailable: nothing can listen there.  Errors of LoadTls().
  static absl::StatusOr<std::unique_ptr<DataServer>> Start(
      DataServerOptions options);

  ~DataServer();  // cuts off the streams that are there, and waits for them
  DataServer(const DataServer&) = delete;
  DataServer& operator=(const DataServer&) = delete;

  uint16_t port() const { return port_; }

 private:
  using Connection = std::shared_ptr<rpc::TlsConnection>;

  DataServer(DataServerOptions options, UniqueFd socket, uint16_t port,
             rpc::TlsIdentity identity);

  void Run();
  void Accept();
  // The handshake, and then the stream is a carrier's.
  void Welcome(UniqueFd socket);
  void Serve(const Caller& caller, const Connection& connection);
  // Tells the caller how its stream ended, and leaves.
  void End(const Connection& connection, const absl::Status& status);
  rpc::TlsIdentity Identity();
  // Whether the server still serves; then Leave() is to follow.
  bool Enter(const Connection& connection);
  void Leave(const Connection& connection);

  const DataServerOptions options_;
  const UniqueFd socket_;  // that listens
  const uint16_t port_;
  Cancellation stop_;

  absl::Mutex mutex_;
  rpc::TlsIdentity identity_ ABSL_GUARDED_BY(mutex_);
  absl::Time loaded_ ABSL_GUARDED_BY(mutex_);
  std::set<Connection> connections_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;

  WorkerPool closers_;
  WorkerPool handshakes_;
  std::thread thread_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_DATA_SERVER_H_
