#include "rpc/tls_probe.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace ckpt::rpc {
namespace {

template <auto kFree>
struct Freeing {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Freeing<&BIO_free>>;
using Certificate = std::unique_ptr<X509, Freeing<&X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freeing<&EVP_PKEY_free>>;
using StoreContext =
    std::unique_ptr<X509_STORE_CTX, Freeing<&X509_STORE_CTX_free>>;
using Context = std::unique_ptr<SSL_CTX, Freeing<&SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, Freeing<&SSL_free>>;
using Addresses = std::unique_ptr<addrinfo, Freeing<&freeaddrinfo>>;

// What gRPC speaks on top of TLS.
constexpr unsigned char kProtocols[] = {2, 'h', '2'};

absl::Status Unreachable(absl::string_view why) {
  return absl::UnavailableError(why);
}

// Waits for `events`; false when the time is over.
bool Await(int fd, short events, absl::Time deadline) {
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
    if (!Await(socket.get(), POLLOUT, deadline)) {
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

Bio Reading(const std::string& pem) {
  return Bio(::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
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

absl::string_view Text(const ASN1_STRING& text) {
  return {reinterpret_cast<const char*>(::ASN1_STRING_get0_data(&text)),
          static_cast<size_t>(::ASN1_STRING_length(&text))};
}

std::string AddressText(const ASN1_STRING& bytes) {
  char text[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(Text(bytes).size() == sizeof(in_addr) ? AF_INET : AF_INET6,
              Text(bytes).data(), text, sizeof(text));
  return text;
}

// The names in the other's certificate, for messages.
std::string NamesOf(SSL* session) {
  const Certificate peer(::SSL_get1_peer_certificate(session));
  if (peer == nullptr) return "";
  auto* const names = static_cast<GENERAL_NAMES*>(
      ::X509_get_ext_d2i(peer.get(), NID_subject_alt_name, nullptr, nullptr));
  std::string text;
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (!text.empty()) text += ", ";
    if (name->type == GEN_IPADD) {
      text += AddressText(*name->d.iPAddress);
    } else if (name->type == GEN_DNS || name->type == GEN_URI) {
      absl::StrAppend(&text, Text(*name->d.ia5));
    } else {
      text += "another kind of name";
    }
  }
  ::GENERAL_NAMES_free(names);
  return text;
}

// We do not take the node's certificate.
absl::Status NodeRefused(SSL* session, const HostPort& node, int64_t verdict) {
  std::string why;
  switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      why = "its certificate has expired: renew it there";
      break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      why =
          "its certificate is not valid yet: are the clocks of both machines "
          "right?";
      break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      why = absl::StrCat("its certificate is not for ", node.host, " but for ",
                         NamesOf(session),
                         ": is it the node that is meant? Otherwise call it by "
                         "a name in its certificate");
      break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      why =
          "its certificate is of another authority: see that ca.pem is the "
          "same on both machines";
      break;
    default:
      why = absl::StrCat("its certificate is refused: ",
                         ::X509_verify_cert_error_string(verdict));
  }
  return absl::UnauthenticatedError(why);
}

// What is wrong with our own certificate, as far as it can be told here.
std::string OwnFault(SSL_CTX* context) {
  const StoreContext check(::X509_STORE_CTX_new());
  STACK_OF(X509)* chain = nullptr;
  ::SSL_CTX_get0_chain_certs(context, &chain);
  ::X509_STORE_CTX_init(check.get(), ::SSL_CTX_get_cert_store(context),
                        ::SSL_CTX_get0_certificate(context), chain);
  ::X509_STORE_CTX_set_purpose(check.get(), X509_PURPOSE_SSL_CLIENT);
  if (::X509_verify_cert(check.get()) == 1) {
    return "it is good by our ca.pem, so see that the node's ca.pem has the "
           "same authority, and that both clocks are right";
  }
  const int verdict = ::X509_STORE_CTX_get_error(check.get());
  if (verdict == X509_V_ERR_CERT_HAS_EXPIRED) {
    return "it has expired: renew cert.pem";
  }
  return absl::StrCat(
      "by our ca.pem, too: ", ::X509_verify_cert_error_string(verdict),
      "; see that ca.pem and cert.pem are of one authority");
}

// gRPC closes a connection whose certificate it does not take, and says no
// more.
absl::Status OursRefused(SSL_CTX* context) {
  return absl::UnauthenticatedError(
      absl::StrCat("it does not take our certificate; ", OwnFault(context)));
}

// The handshake failed, and not for the node's certificate.
absl::Status NotShaken() {
  const auto error = ::ERR_get_error();
  const int reason = ERR_GET_REASON(error);
  if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST) {
    return absl::UnauthenticatedError(
        "what listens there speaks no TLS: is it a ckptd, and its port?");
  }
  const char* const text = ::ERR_reason_error_string(error);
  return absl::UnauthenticatedError(absl::StrCat(
      "TLS failed: ", text == nullptr ? "the connection was closed" : text));
}

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
    if (!Await(fd, events, deadline)) return SSL_ERROR_WANT_READ;
  }
}

absl::Status Shake(SSL* session, int fd, const HostPort& node,
                   absl::Time deadline) {
  const int shaken =
      Drive(session, fd, deadline, [&] { return ::SSL_connect(session); });
  if (shaken == SSL_ERROR_WANT_READ) {
    return Unreachable("it was connected, but does not answer");
  }
  if (shaken != SSL_ERROR_NONE) return NotShaken();
  if (const auto verdict = ::SSL_get_verify_result(session);
      verdict != X509_V_OK) {
    return NodeRefused(session, node, verdict);
  }
  // With TLS 1.3 the node judges our certificate after that.  Its first words
  // tell, for those of HTTP/2 come without being asked.
  char first = 0;
  const int read = Drive(session, fd, deadline,
                         [&] { return ::SSL_read(session, &first, 1); });
  if (read == SSL_ERROR_NONE || read == SSL_ERROR_WANT_READ) {
    return absl::OkStatus();
  }
  return OursRefused(::SSL_get_SSL_CTX(session));
}

}  // namespace

absl::Status ProbeTls(const HostPort& node, const TlsIdentity& identity,
                      absl::Duration limit) {
  const absl::Time deadline = Clock::Real().Now() + limit;
  CKPT_ASSIGN_OR_RETURN(const UniqueFd socket, ConnectTo(node, deadline));
  const Context context(::SSL_CTX_new(::TLS_client_method()));
  if (context == nullptr || !Trust(context.get(), identity.ca) ||
      !Show(context.get(), identity)) {
    return absl::UnauthenticatedError(
        "our own certificates cannot be used: see ca.pem, cert.pem, key.pem");
  }
  // To the end, whoever it is: nothing but certificates is shown, and the names
  // in the other's are wanted.
  ::SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  ::SSL_CTX_set_alpn_protos(context.get(), kProtocols, sizeof(kProtocols));
  const Session session(::SSL_new(context.get()));
  if (IsAddress(node.host)) {
    ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(session.get()),
                                    node.host.c_str());
  } else {
    ::SSL_set1_host(session.get(), node.host.c_str());
    ::SSL_set_tlsext_host_name(session.get(), node.host.c_str());
  }
  ::SSL_set_fd(session.get(), socket.get());
  return Shake(session.get(), socket.get(), node, deadline);
}

}  // namespace ckpt::rpc
