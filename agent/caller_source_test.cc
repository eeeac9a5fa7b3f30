#include "agent/caller_source.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "grpcpp/security/auth_context.h"
#include "gtest/gtest.h"

namespace ckpt::agent {
namespace {

// What TLS has found out about the other end.
class FakeCertificate : public grpc::AuthContext {
 public:
  FakeCertificate(bool verified,
                  std::map<std::string, std::vector<std::string>> properties)
      : verified_(verified), properties_(std::move(properties)) {}

  bool IsPeerAuthenticated() const override { return verified_; }
  std::vector<grpc::string_ref> GetPeerIdentity() const override { return {}; }
  std::string GetPeerIdentityPropertyName() const override { return ""; }
  std::vector<grpc::string_ref> FindPropertyValues(
      const std::string& name) const override {
    const auto found = properties_.find(name);
    if (found == properties_.end()) return {};
    return {found->second.begin(), found->second.end()};
  }
  grpc::AuthPropertyIterator begin() const override { return None(); }
  grpc::AuthPropertyIterator end() const override { return None(); }
  void AddProperty(const std::string&, const grpc::string_ref&) override {}
  bool SetPeerIdentityPropertyName(const std::string&) override {
    return false;
  }

 private:
  struct None : grpc::AuthPropertyIterator {};

  const bool verified_;
  const std::map<std::string, std::vector<std::string>> properties_;
};

TEST(CallerSourceTest, NamesAreTheDnsNamesAndUrisOfTheCertificate) {
  const FakeCertificate certificate(true, {{"peer_dns", {"node2", "a.example"}},
                                           {"peer_uri", {"spiffe://x/ctl"}},
                                           {"x509_common_name", {"root"}},
                                           {"peer_email", {"root@x"}}});
  const Caller caller = CallerOfCertificate(certificate, "ipv4:10.0.0.2:1");
  EXPECT_EQ(caller.clients,
            (std::vector<std::string>{"a.example", "node2", "spiffe://x/ctl"}));
  EXPECT_EQ(caller.name, "client a.example, node2, spiffe://x/ctl");
  EXPECT_EQ(caller.address, "ipv4:10.0.0.2:1");
  EXPECT_FALSE(caller.uid.has_value());
  EXPECT_TRUE(caller.gids.empty());
}

TEST(CallerSourceTest, CertificateWithoutANameIsNobody) {
  const FakeCertificate certificate(true, {{"x509_common_name", {"root"}}});
  EXPECT_TRUE(CallerOfCertificate(certificate, "").clients.empty());
}

TEST(CallerSourceTest, CertificateThatWasNotVerifiedIsNobodys) {
  const FakeCertificate certificate(false, {{"peer_dns", {"node2"}}});
  EXPECT_TRUE(CallerOfCertificate(certificate, "").clients.empty());
}

}  // namespace
}  // namespace ckpt::agent
