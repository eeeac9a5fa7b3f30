// A connection by mutual TLS, for what gRPC is too slow for: the chunks of
// images (rpc/data_frame.h).
//
//   CKPT_ASSIGN_OR_RETURN(const auto connection,
//                         TlsConnection::Connect(node, identity, limit));
//   if (!connection->Write(bytes)) ...
//
// TLS 1.3, by OpenSSL.  Each end has to show a certificate of the other's
// authority, and the one that is called one for the name it is called by.
#ifndef CKPT_RPC_TLS_CONNECTION_H_
#define CKPT_RPC_TLS_CONNECTION_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "rpc/host_port.h"
#include "rpc/tls_files.h"

namespace ckpt::rpc {

// All but Cut() is for one thread.
class TlsConnection {
 public:
  // Both block for `limit` at most, and Connect() for the resolver.
  // Unavailable: the node is not reached.  Unauthenticated: a certificate is
  // refused, or it is no TLS.
  static absl::StatusOr<std::unique_ptr<TlsConnection>> Connect(
      const HostPort& node, const TlsIdentity& identity, absl::Duration limit);
  // `socket` is one that was accepted.
  static absl::StatusOr<std::unique_ptr<TlsConnection>> Accept(
      UniqueFd socket, const TlsIdentity& identity, absl::Duration limit);

  ~TlsConnection();
  TlsConnection(const TlsConnection&) = delete;
  TlsConnection& operator=(const TlsConnection&) = delete;

  // How long Read() and Write() wait while nothing moves; 0: for ever.  A node
  // that has vanished is noticed sooner, by TCP.
  void SetLimit(absl::Duration limit);
  // On Clock::Real().  What comes later is not read, so that nobody holds up a
  // reader with a byte now and then.
  void SetReadDeadline(absl::Time deadline);

  // All of it.  False: the connection has ended, was cut, or stood still.
  bool Write(absl::string_view bytes);
  bool Read(char* bytes, size_t count);
  // Whether Read() would not wait: there is something, or the end.
  bool HasInput() const;
  // Tells the other end that nothing more comes, and takes no notice of what it
  // still sends until it closes: so it gets what was written last.
  void Close(absl::Duration limit);

  // By any thread: ends it, and what waits for it.
  void Cut();

  // The DNS names and URIs of the other's certificate, sorted.
  std::vector<std::string> PeerNames() const;
  // Where it is, as gRPC writes it: "ipv4:10.0.0.1:4711".
  std::string PeerAddress() const;

 private:
  struct Session;
  explicit TlsConnection(std::unique_ptr<Session> session);
  static absl::StatusOr<std::unique_ptr<TlsConnection>> Shake(
      UniqueFd socket, const HostPort* node, const TlsIdentity& identity,
      absl::Time deadline);

  const std::unique_ptr<Session> session_;
};

}  // namespace ckpt::rpc

#endif  // CKPT_RPC_TLS_CONNECTION_H_
