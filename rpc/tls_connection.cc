#include "rpc/tls_connection.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"
#include "rpc/openssl.h"

namespace ckpt::rpc {
namespace {

// As gRPC has it (rpc/channel.cc): a node that has vanished, or takes nothing.
constexpr int kVanishedMs = 20'000;
// What is thrown away at a time.
constexpr size_t kIgnoredBytes = 256 << 10;

// OpenSSL asks for a record's header and then for the rest of it.  With the
// rest the next header is read, too, so that a record is one call.  OpenSSL's
// own reading ahead (SSL_CTX_set_read_ahead(3)) costs more than it saves: for
// each record it moves all that was read ahead to where it wants it.
struct Socket {
  UniqueFd fd;
  char ahead[SSL3_RT_HEADER_LENGTH] = {};
  size_t ahead_size = 0;
  absl::Time deadline = absl::InfiniteFuture();  // of reading
};

Socket& SocketOf(BIO* bio) {
  return *static_cast<Socket*>(::BIO_get_data(bio));
}

// A socket as OpenSSL has them, but that nobody is sent a SIGPIPE for.
int SendTo(BIO* bio, const char* bytes, int count) {
  ::BIO_clear_retry_flags(bio);
  const int fd = SocketOf(bio).fd.get();
  ssize_t sent;
  do {
    sent = ::send(fd, bytes, static_cast<size_t>(count), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0 && ::BIO_sock_should_retry(-1) == 1) ::BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

int ReceiveFrom(BIO* bio, char* bytes, int count) {
  ::BIO_clear_retry_flags(bio);
  Socket& socket = SocketOf(bio);
  const auto wanted = static_cast<size_t>(count);
  if (socket.ahead_size > 0) {
    const size_t taken = std::min(wanted, socket.ahead_size);
    std::memcpy(bytes, socket.ahead, taken);
    socket.ahead_size -= taken;
    std::memmove(socket.ahead, socket.ahead + taken, socket.ahead_size);
    return static_cast<int>(taken);
  }
  iovec parts[] = {{bytes, wanted}, {socket.ahead, sizeof(socket.ahead)}};
  // A stopped process that goes on finds itself interrupted (signal(7)).
  ssize_t received;
  do {
    received = ::readv(socket.fd.get(), parts, 2);
  } while (received < 0 && errno == EINTR);
  if (received > 0 && Clock::Real().Now() > socket.deadline) return -1;
  if (received < 0 && ::BIO_sock_should_retry(-1) == 1) {
    ::BIO_set_retry_read(bio);
  }
  if (received <= count) return static_cast<int>(received);
  socket.ahead_size = static_cast<size_t>(received) - wanted;
  return count;
}

// Null: no memory.  Borrows the socket.
BIO* MakeSocketBio(Socket& socket) {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* const made = ::BIO_meth_new(
        ::BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ckpt socket");
    ::BIO_meth_set_write(made, &SendTo);
    ::BIO_meth_set_read(made, &ReceiveFrom);
    // Nothing is kept back.
    ::BIO_meth_set_ctrl(
        made, +[](BIO*, int command, long, void*) -> long {
          return command == BIO_CTRL_FLUSH ? 1 : 0;
        });
    return made;
  }();
  BIO* const bio = ::BIO_new(method);
  if (bio == nullptr) return nullptr;
  ::BIO_set_data(bio, &socket);
  ::BIO_set_init(bio, 1);
  return bio;
}

void SetOption(int fd, int level, int name, int value) {
  (void)::setsockopt(fd, level, name, &value, sizeof(value));
}

void NoticeVanished(int fd) {
  SetOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, 10);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);
  SetOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, kVanishedMs);
}

void Configure(SSL_CTX* context) {
  ::SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  ::SSL_CTX_set_verify(
      context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  // Nothing is resumed: each connection proves anew who it is of.
  ::SSL_CTX_set_num_tickets(context, 0);
}

std::string WhyNot(SSL* session) {
  const auto verdict = ::SSL_get_verify_result(session);
  if (verdict != X509_V_OK) {
    return absl::StrCat("the other's certificate is refused: ",
                        ::X509_verify_cert_error_string(verdict));
  }
  const char* const text = ::ERR_reason_error_string(::ERR_peek_error());
  return text == nullptr ? "the connection was closed" : text;
}

}  // namespace

struct TlsConnection::Session {
  Socket socket;
  TlsContext context;
  TlsSession ssl;
};

TlsConnection::TlsConnection(std::unique_ptr<Session> session)
    : session_(std::move(session)) {}

TlsConnection::~TlsConnection() = default;

absl::StatusOr<std::unique_ptr<TlsConnection>> TlsConnection::Shake(
    UniqueFd socket, const HostPort* node, const TlsIdentity& identity,
    absl::Time deadline) {
  const bool is_server = node == nullptr;
  auto session = std::make_unique<Session>();
  session->socket.fd = std::move(socket);
  const int fd = session->socket.fd.get();
  NoticeVanished(fd);
  CKPT_ASSIGN_OR_RETURN(
      session->context,
      MakeTlsContext(is_server ? ::TLS_server_method() : ::TLS_client_method(),
                     identity));
  Configure(session->context.get());
  session->ssl.reset(::SSL_new(session->context.get()));
  SSL* const ssl = session->ssl.get();
  BIO* const bio = MakeSocketBio(session->socket);
  if (ssl == nullptr || bio == nullptr) {
    return absl::ResourceExhaustedError("no memory for TLS");
  }
  ::SSL_set_bio(ssl, bio, bio);
  if (!is_server) ExpectHost(ssl, node->host);
  const int shaken = Drive(ssl, fd, deadline, [&] {
    return is_server ? ::SSL_accept(ssl) : ::SSL_connect(ssl);
  });
  if (shaken == SSL_ERROR_WANT_READ) {
    return absl::UnavailableError("it was connected, but does not answer");
  }
  if (shaken != SSL_ERROR_NONE) {
    return absl::UnauthenticatedError(
        absl::StrCat("TLS failed: ", WhyNot(ssl)));
  }
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0) {
    return absl::InternalError("a socket cannot be made to block");
  }
  return absl::WrapUnique(new TlsConnection(std::move(session)));
}

absl::StatusOr<std::unique_ptr<TlsConnection>> TlsConnection::Connect(
    const HostPort& node, const TlsIdentity& identity, absl::Duration limit) {
  const absl::Time deadline = Clock::Real().Now() + limit;
  CKPT_ASSIGN_OR_RETURN(UniqueFd socket, ConnectTo(node, deadline));
  return Shake(std::move(socket), &node, identity, deadline);
}

absl::StatusOr<std::unique_ptr<TlsConnection>> TlsConnection::Accept(
    UniqueFd socket, const TlsIdentity& identity, absl::Duration limit) {
  return Shake(std::move(socket), nullptr, identity,
               Clock::Real().Now() + limit);
}

void TlsConnection::SetLimit(absl::Duration limit) {
  const timeval time = absl::ToTimeval(limit);
  for (const int name : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    (void)::setsockopt(session_->socket.fd.get(), SOL_SOCKET, name, &time,
                       sizeof(time));
  }
}

void TlsConnection::SetReadDeadline(absl::Time deadline) {
  session_->socket.deadline = deadline;
}

bool TlsConnection::Write(absl::string_view bytes) {
  ::ERR_clear_error();
  size_t written = 0;
  return bytes.empty() || ::SSL_write_ex(session_->ssl.get(), bytes.data(),
                                         bytes.size(), &written) == 1;
}

bool TlsConnection::Read(char* bytes, size_t count) {
  while (count > 0) {
    ::ERR_clear_error();
    size_t taken = 0;
    if (::SSL_read_ex(session_->ssl.get(), bytes, count, &taken) != 1) {
      return false;
    }
    bytes += taken;
    count -= taken;
  }
  return true;
}

bool TlsConnection::HasInput() const {
  pollfd ready = {session_->socket.fd.get(), POLLIN, 0};
  return session_->socket.ahead_size > 0 ||
         ::SSL_has_pending(session_->ssl.get()) == 1 ||
         ::poll(&ready, 1, 0) != 0;
}

void TlsConnection::Close(absl::Duration limit) {
  const absl::Time deadline = Clock::Real().Now() + limit;
  ::ERR_clear_error();
  (void)::SSL_shutdown(session_->ssl.get());
  const int fd = session_->socket.fd.get();
  (void)::shutdown(fd, SHUT_WR);
  std::string ignored(kIgnoredBytes, '\0');
  while (AwaitEvents(fd, POLLIN, deadline) &&
         ::recv(fd, ignored.data(), ignored.size(), 0) > 0) {
  }
}

void TlsConnection::Cut() {
  (void)::shutdown(session_->socket.fd.get(), SHUT_RDWR);
}

std::vector<std::string> TlsConnection::PeerNames() const {
  std::vector<std::string> names;
  const Certificate peer(::SSL_get1_peer_certificate(session_->ssl.get()));
  if (peer == nullptr) return names;
  auto* const found = static_cast<GENERAL_NAMES*>(
      ::X509_get_ext_d2i(peer.get(), NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; found != nullptr && i < sk_GENERAL_NAME_num(found); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(found, i);
    if (name->type != GEN_DNS && name->type != GEN_URI) continue;
    const ASN1_STRING& text = *name->d.ia5;
    names.emplace_back(
        reinterpret_cast<const char*>(::ASN1_STRING_get0_data(&text)),
        static_cast<size_t>(::ASN1_STRING_length(&text)));
  }
  ::GENERAL_NAMES_free(found);
  std::sort(names.begin(), names.end());
  return names;
}

std::string TlsConnection::PeerAddress() const {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  if (::getpeername(session_->socket.fd.get(),
                    reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return "";
  }
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
    return absl::StrCat("ipv4:", text, ":", ntohs(in.sin_port));
  }
  const auto& in = reinterpret_cast<const sockaddr_in6&>(address);
  ::inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof(text));
  return absl::StrCat("ipv6:[", text, "]:", ntohs(in.sin6_port));
}

}  // namespace ckpt::rpc
