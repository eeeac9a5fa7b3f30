// Who makes a call, as a service asks for it: of one caller whose connection
// was known before gRPC had it, or of the certificate that TLS has verified.
// Never from a message.
//
//   AgentService service(desks, CallerSource::Of(caller));
//   AgentService service(desks, CallerSource::Tls());
//   const Caller caller = source.CallerOf(*context);
//
// Value type; thread-safe.
#ifndef CKPT_AGENT_CALLER_SOURCE_H_
#define CKPT_AGENT_CALLER_SOURCE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/types/optional.h"
#include "agent/caller.h"
#include "grpcpp/server_context.h"

namespace ckpt::agent {

class CallerSource {
 public:
  static CallerSource Of(Caller caller) {
    return CallerSource(std::move(caller));
  }
  static CallerSource Tls() { return CallerSource(absl::nullopt); }

  // By TLS: a caller with the DNS names and URIs of its certificate.  One
  // without a verified certificate has no names, and so no rights.
  Caller CallerOf(const grpc::CallbackServerContext& context) const;

 private:
  explicit CallerSource(absl::optional<Caller> caller)
      : caller_(std::move(caller)) {}

  absl::optional<Caller> caller_;
};

// The caller whose verified certificate has these DNS names and URIs.
Caller CallerOfNames(std::vector<std::string> names, std::string address);

// The caller of a verified certificate; `peer` is where the call comes from, as
// gRPC writes it.
Caller CallerOfCertificate(const grpc::AuthContext& certificate,
                           const std::string& peer);

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_CALLER_SOURCE_H_
