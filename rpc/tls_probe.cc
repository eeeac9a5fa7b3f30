#include "rpc/tls_probe.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "rpc/openssl.h"

namespace ckpt::rpc {
namespace {

using StoreContext =
    std::unique_ptr<X509_STORE_CTX, Freeing<&X509_STORE_CTX_free>>;

// What gRPC speaks on top of TLS.
constexpr unsigned char kProtocols[] = {2, 'h', '2'};

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

absl::Status Shake(SSL* session, int fd, const HostPort& node,
                   absl::Time deadline) {
  const int shaken =
      Drive(session, fd, deadline, [&] { return ::SSL_connect(session); });
  if (shaken == SSL_ERROR_WANT_READ) {
    return absl::UnavailableError("it was connected, but does not answer");
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
  CKPT_ASSIGN_OR_RETURN(const TlsContext context,
                        MakeTlsContext(::TLS_client_method(), identity));
  // To the end, whoever it is: nothing but certificates is shown, and the names
  // in the other's are wanted.
  ::SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  ::SSL_CTX_set_alpn_protos(context.get(), kProtocols, sizeof(kProtocols));
  const TlsSession session(::SSL_new(context.get()));
  ExpectHost(session.get(), node.host);
  ::SSL_set_fd(session.get(), socket.get());
  return Shake(session.get(), socket.get(), node, deadline);
}

}  // namespace ckpt::rpc
