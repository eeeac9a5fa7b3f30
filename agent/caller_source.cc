#include "agent/caller_source.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "grpc/grpc_security_constants.h"
#include "grpcpp/security/auth_context.h"

namespace ckpt::agent {

Caller CallerOfNames(std::vector<std::string> names, std::string address) {
  Caller caller;
  caller.address = std::move(address);
  caller.clients = std::move(names);
  std::sort(caller.clients.begin(), caller.clients.end());
  caller.name =
      caller.clients.empty()
          ? "a client without a DNS name or URI in its certificate"
          : absl::StrCat("client ", absl::StrJoin(caller.clients, ", "));
  return caller;
}

Caller CallerOfCertificate(const grpc::AuthContext& certificate,
                           const std::string& peer) {
  std::vector<std::string> names;
  if (certificate.IsPeerAuthenticated()) {
    for (const char* const kind :
         {GRPC_PEER_DNS_PROPERTY_NAME, GRPC_PEER_URI_PROPERTY_NAME}) {
      for (const grpc::string_ref& name :
           certificate.FindPropertyValues(kind)) {
        names.emplace_back(name.data(), name.size());
      }
    }
  }
  return CallerOfNames(std::move(names), peer);
}

Caller CallerSource::CallerOf(
    const grpc::CallbackServerContext& context) const {
  if (caller_.has_value()) return *caller_;
  return CallerOfCertificate(*context.auth_context(), context.peer());
}

}  // namespace ckpt::agent
