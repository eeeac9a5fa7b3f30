#include "rpc/openssl.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/status.h"

namespace ckpt::rpc {
namespace {

using Addresses = std::unique_ptr<addrinfo, Freeing<&freeaddrinfo>>;

absl::Status Unreachable(absl::string_view why) {
  return absl::UnavailableError(why);
}

absl::StatusOr<UniqueFd> ConnectTo(const addrinfo& address,
                                   absl::Time deadline) {
  UniqueFd socket(::socket(address.ai_family,
                           SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.ok()) return ErrnoToStatus(errno, "make a socket");
  if (::connect(socket.get(), address.ai_addr, address.ai_addrlen) == 0) {
    return socket;
  }
  int error = errno;
  if (error == EINPROGRESS) {
    if (!AwaitEvents(socket.get(), POLLOUT, deadline)) {
      return Unreachable(
          "it does not answer: is the address right, and no firewall between?");
    }
    socklen_t size = sizeof(error);
    (void)::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error == 0) return socket;
  }
  if (error == ECONNREFUSED) {
    return Unreachable("nothing listens there: start ckptd with --listen");
  }
  return Unreachable(ErrnoToStatus(error, "connect to it").message());
}

bool Trust(SSL_CTX* context, const std::string& pem) {
  const Bio bio = Reading(pem);
  int count = 0;
  while (true) {
    const Certificate next(
        ::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (next == nullptr) break;
    ::X509_STORE_add_cert(::SSL_CTX_get_cert_store(context), next.get());
    ++count;
  }
  ::ERR_clear_error();
  return count > 0;
}

// The certificate, and those between it and the authority.
bool Show(SSL_CTX* context, const TlsIdentity& identity) {
  const Bio bio = Reading(identity.cert);
  const Certificate own(
      ::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  const Key key(::PEM_read_bio_PrivateKey(Reading(identity.key).get(), nullptr,
                                          nullptr, nullptr));
  if (own == nullptr || key == nullptr ||
      ::SSL_CTX_use_certificate(context, own.get()) != 1 ||
      ::SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    return false;
  }
  while (true) {
    const Certificate next(
        ::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (next == nullptr) break;
    ::SSL_CTX_add1_chain_cert(context, next.get());
  }
  ::ERR_clear_error();
  return true;
}

bool IsAddress(const std::string& host) {
  unsigned char bytes[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

}  // namespace

bool AwaitEvents(int fd, short events, absl::Time deadline) {
  while (true) {
    const absl::Duration left = deadline - Clock::Real().Now();
    if (left <= absl::ZeroDuration()) return false;
    pollfd poll_fd = {fd, events, 0};
    const int ready = ::poll(
        &poll_fd, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

absl::StatusOr<UniqueFd> ConnectTo(const HostPort& node, absl::Time deadline) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(
      node.host.c_str(), absl::StrCat(node.port).c_str(), &hints, &found);
  if (error != 0) {
    return Unreachable(absl::StrCat("the name ", node.host, " has no address (",
                                    ::gai_strerror(error), ")"));
  }
  const Addresses addresses(found);
  absl::StatusOr<UniqueFd> socket = Unreachable("it has no address");
  for (const addrinfo* next = found; next != nullptr && !socket.ok();
       next = next->ai_next) {
    socket = ConnectTo(*next, deadline);
  }
  return socket;
}

absl::StatusOr<TlsContext> MakeTlsContext(const SSL_METHOD* method,
                                          const TlsIdentity& identity) {
  TlsContext context(::SSL_CTX_new(method));
  if (context == nullptr || !Trust(context.get(), identity.ca) ||
      !Show(context.get(), identity)) {
    return absl::UnauthenticatedError(
        "our own certificates cannot be used: see ca.pem, cert.pem, key.pem");
  }
  return context;
}

void ExpectHost(SSL* session, const std::string& host) {
  if (IsAddress(host)) {
    ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(session), host.c_str());
  } else {
    ::SSL_set1_host(session, host.c_str());
    ::SSL_set_tlsext_host_name(session, host.c_str());
  }
}

}  // namespace ckpt::rpc
