// OpenSSL, as rpc/ uses it: sessions that show our certificate, and steps of a
// handshake with a limit of time.
//
// Errors of OpenSSL are left in its queue of the calling thread.
#ifndef CKPT_RPC_OPENSSL_H_
#define CKPT_RPC_OPENSSL_H_

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "rpc/host_port.h"
#include "rpc/openssl_objects.h"
#include "rpc/tls_files.h"

namespace ckpt::rpc {

using TlsContext = std::unique_ptr<SSL_CTX, Freeing<&SSL_CTX_free>>;
using TlsSession = std::unique_ptr<SSL, Freeing<&SSL_free>>;

// A context that shows the identity's certificate and trusts its authorities,
// and asks nothing of the other end yet.  Unauthenticated: they cannot be used.
absl::StatusOr<TlsContext> MakeTlsContext(const SSL_METHOD* method,
                                          const TlsIdentity& identity);

// The other end's certificate has to be for that host.
void ExpectHost(SSL* session, const std::string& host);

// A socket, not blocking, that is connected to the node.  Unavailable tells
// why there is none: no such host, nobody listens there, no answer in time.
// Blocks as long as the resolver does, and then at most until the deadline.
absl::StatusOr<UniqueFd> ConnectTo(const HostPort& node, absl::Time deadline);

// Waits until poll(2) tells of `events`; false when the time is over.
bool AwaitEvents(int fd, short events, absl::Time deadline);

// Calls `step` until it has succeeded or failed; the result is SSL_get_error's,
// or SSL_ERROR_WANT_READ when the time is over.
template <typename Step>
int Drive(SSL* session, int fd, absl::Time deadline, Step step) {
  while (true) {
    ::ERR_clear_error();
    const int result = step();
    if (result > 0) return SSL_ERROR_NONE;
    const int error = ::SSL_get_error(session, result);
    const bool waits =
        error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
    const short events = error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN;
    if (!waits) return error;
    if (!AwaitEvents(fd, events, deadline)) {
      return SSL_ERROR_WANT_READ;
    }
  }
}

}  // namespace ckpt::rpc

#endif  // CKPT_RPC_OPENSSL_H_
