#include "rpc/channel.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "grpcpp/client_context.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "proto/agent.grpc.pb.h"
#include "tests/support/test_ca.h"
#include "tests/support/test_dir.h"

namespace ckpt::rpc {
namespace {

// The agent's service, of which nothing is implemented: who gets that answer
// has reached it.
class Server {
 public:
  explicit Server(const std::string& tls) {
    const auto identity = LoadTls(TlsFiles::In(tls));
    EXPECT_TRUE(identity.ok()) << identity.status();
    grpc::SslServerCredentialsOptions options(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = identity->ca;
    options.pem_key_cert_pairs = {
        {.private_key = identity->key, .cert_chain = identity->cert}};
    Start("127.0.0.1:0", grpc::SslServerCredentials(options));
  }
  Server() { Start("127.0.0.1:0", grpc::InsecureServerCredentials()); }

  std::string At(const std::string& host) const {
    return absl::StrCat(host, ":", port_);
  }

 private:
  void Start(const std::string& address,
             const std::shared_ptr<grpc::ServerCredentials>& credentials) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, credentials, &port_);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    EXPECT_NE(server_, nullptr);
  }

  v1::Agent::Service service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// What a call to the node ends with.
absl::Status Call(const std::string& node, const std::string& tls) {
  const auto channel = Channel::Open({.node = node, .tls = TlsFiles::In(tls)});
  if (!channel.ok()) return channel.status();
  grpc::ClientContext context;
  v1::CheckReport report;
  return (*channel)->Describe(
      v1::Agent::NewStub((*channel)->grpc())->Check(&context, {}, &report));
}

void ExpectSays(const absl::Status& status, absl::StatusCode code,
                const std::string& words) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), words)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "nothing was done"))
      << status;
}

class ChannelTest : public testing::Test {
 protected:
  TestCa ca_;
  const std::string node_ = ca_.Make("node,127.0.0.1");
  const std::string client_ = ca_.Make("client");
};

TEST_F(ChannelTest, BothEndsAreWhoTheySay) {
  const Server server(node_);
  EXPECT_EQ(Call(server.At("127.0.0.1"), client_).code(),
            absl::StatusCode::kUnimplemented);
}

TEST_F(ChannelTest, NodeOfAnotherNameIsRefused) {
  const Server server(ca_.Make("elsewhere"));
  const absl::Status status = Call(server.At("127.0.0.1"), client_);
  ExpectSays(status, absl::StatusCode::kUnauthenticated,
             "not for 127.0.0.1 but for elsewhere");
}

TEST_F(ChannelTest, NodeOfAnotherAuthorityIsRefused) {
  TestCa other;
  const Server server(other.Make("node,127.0.0.1"));
  ExpectSays(Call(server.At("127.0.0.1"), client_),
             absl::StatusCode::kUnauthenticated,
             "its certificate is of another authority");
}

TEST_F(ChannelTest, NodeWhoseCertificateHasExpiredIsRefused) {
  const Server server(ca_.Make("late,127.0.0.1", -1));
  ExpectSays(Call(server.At("127.0.0.1"), client_),
             absl::StatusCode::kUnauthenticated, "its certificate has expired");
}

TEST_F(ChannelTest, OurExpiredCertificateIsNamed) {
  const Server server(node_);
  ExpectSays(Call(server.At("127.0.0.1"), ca_.Make("late", -1)),
             absl::StatusCode::kUnauthenticated, "renew cert.pem");
}

TEST_F(ChannelTest, OurCertificateOfAnotherAuthorityIsNamed) {
  const Server server(node_);
  TestCa other;
  // All of another authority: the node is refused first.
  ExpectSays(Call(server.At("127.0.0.1"), other.Make("other")),
             absl::StatusCode::kUnauthenticated, "of another authority");
  const std::string mixed = other.Make("client");
  std::ofstream(mixed + "/ca.pem")
      << std::ifstream(client_ + "/ca.pem").rdbuf();
  ExpectSays(Call(server.At("127.0.0.1"), mixed),
             absl::StatusCode::kUnauthenticated,
             "does not take our certificate");
}

TEST_F(ChannelTest, ServerWithoutTlsIsNamed) {
  const Server server;
  ExpectSays(Call(server.At("127.0.0.1"), client_),
             absl::StatusCode::kUnauthenticated, "speaks no TLS");
}

TEST_F(ChannelTest, PortWithoutAListenerIsNamed) {
  // Taken, so that nobody else comes to listen there.
  const UniqueFd taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(taken.get(), reinterpret_cast<sockaddr*>(&address), size),
            0);
  ASSERT_EQ(
      ::getsockname(taken.get(), reinterpret_cast<sockaddr*>(&address), &size),
      0);
  ExpectSays(Call(absl::StrCat("127.0.0.1:", ntohs(address.sin_port)), client_),
             absl::StatusCode::kUnavailable, "nothing listens there");
}

TEST_F(ChannelTest, NameWithoutAnAddressIsNamed) {
  ExpectSays(Call("no-such-host.invalid:7070", client_),
             absl::StatusCode::kUnavailable, "has no address");
}

TEST(LocalChannelTest, MissingSocketIsNamedThoughItsPathNamesTheAgent) {
  const TestDir dir;
  const absl::Status status = Call("unix:" + dir.File("ckptd.sock"), "");
  ExpectSays(status, absl::StatusCode::kUnavailable, "no such socket");
}

TEST(LocalChannelTest, SocketThatNobodyServesIsNamed) {
  const TestDir dir;
  std::ofstream(dir.File("ckptd.sock")) << "";
  ExpectSays(Call("unix:" + dir.File("ckptd.sock"), ""),
             absl::StatusCode::kUnavailable, "see that ckptd runs");
}

TEST(LocalChannelTest, AgentsOwnWordsStay) {
  const auto channel = Channel::Open({.node = "unix:/x", .tls = {}});
  ASSERT_TRUE(channel.ok()) << channel.status();
  const grpc::Status said(grpc::StatusCode::UNAVAILABLE, "ckptd is busy");
  EXPECT_EQ((*channel)->Describe(said),
            absl::UnavailableError("ckptd is busy"));
}

TEST(LocalChannelTest, LostConnectionLeavesItOpenWhatWasDone) {
  const auto channel = Channel::Open({.node = "unix:/x", .tls = {}});
  ASSERT_TRUE(channel.ok()) << channel.status();
  const absl::Status status = (*channel)->Describe(
      grpc::Status(grpc::StatusCode::UNAVAILABLE, "Socket closed"));
  EXPECT_TRUE(absl::StrContains(status.message(), "may have been done"))
      << status;
}

TEST_F(ChannelTest, OpenRefusesWhatNamesNoNode) {
  for (const std::string node :
       {"", "unix:", "node", "node:0", "ipv4:1.2.3.4:5", "dns:///node:1"}) {
    EXPECT_EQ(Channel::Open({.node = node, .tls = TlsFiles::In(client_)})
                  .status()
                  .code(),
              absl::StatusCode::kInvalidArgument)
        << node;
  }
}

TEST_F(ChannelTest, KeyThatOthersCanReadIsRefused) {
  ASSERT_EQ(::chmod((client_ + "/key.pem").c_str(), 0640), 0);
  const absl::Status status = Call("127.0.0.1:1", client_);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(status.message(), "chmod 600")) << status;
}

TEST_F(ChannelTest, KeyOfAnotherCertificateIsRefused) {
  const TlsFiles files = {.ca = client_ + "/ca.pem",
                          .cert = client_ + "/cert.pem",
                          .key = node_ + "/key.pem"};
  EXPECT_EQ(LoadTls(files).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(ChannelTest, MissingAndEmptyFilesAreNamed) {
  const absl::Status missing = Call("127.0.0.1:1", client_ + "/none");
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(absl::StrContains(missing.message(), "CKPT_TLS_DIR")) << missing;
  std::ofstream(client_ + "/cert.pem") << "";
  const absl::Status empty = Call("127.0.0.1:1", client_);
  EXPECT_EQ(empty.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(empty.message(), "cert.pem")) << empty;
}

}  // namespace
}  // namespace ckpt::rpc
