// The port for data of a real agent: images that come by it, what happens
// without it, and who gets no further there.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "rpc/data_frame.h"
#include "rpc/data_stream.h"
#include "rpc/host_port.h"
#include "rpc/tls_connection.h"
#include "rpc/tls_files.h"
#include "tests/support/job.h"
#include "tests/support/test_ca.h"
#include "tests/transfer/transfer_fixture.h"

namespace ckpt {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(5);
constexpr int kUnavailable = 14;
constexpr int kUsageError = 64;

class DataPortTest : public TransferTest {
 protected:
  void StartNode(std::vector<std::string> more = {},
                 const std::string& fault = "") {
    more.insert(
        more.end(),
        {"--listen", "127.0.0.1:0", "--tls-ca", node_ + "/ca.pem", "--tls-cert",
         node_ + "/cert.pem", "--tls-key", node_ + "/key.pem"});
    ASSERT_NO_FATAL_FAILURE(StartAgent(fault, more));
    address_ = Logged("by TLS, on ");
  }

  // What the agent has written after those words, to the end of the line.
  std::string Logged(const std::string& before) {
    const std::string log = AgentLog();
    const size_t at = log.find(before);
    if (at == std::string::npos) return "";
    const size_t begin = at + before.size();
    return log.substr(begin, log.find('\n', begin) - begin);
  }
  rpc::HostPort DataPort() {
    uint32_t port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(Logged("come by TLS, to port "), &port))
        << AgentLog();
    return {.host = "127.0.0.1", .port = static_cast<uint16_t>(port)};
  }
  void AwaitLogged(const std::string& words) {
    const absl::Time deadline = Soon();
    while (!absl::StrContains(AgentLog(), words)) {
      ASSERT_LT(Clock::Real().Now(), deadline) << AgentLog();
      Clock::Real().Sleep(kPoll);
    }
  }

  CommandResult PushJob() {
    return Ckpt({"push", "job", "--to", address_, "--streams", "2", "--tls-ca",
                 mover_ + "/ca.pem", "--tls-cert", mover_ + "/cert.pem",
                 "--tls-key", mover_ + "/key.pem"});
  }
  // How many streams of images were allowed to begin.
  int StreamsBegun() {
    int begun = 0;
    for (const absl::string_view line : absl::StrSplit(AgentLog(), '\n')) {
      if (absl::StartsWith(line, "audit ") &&
          absl::StrContains(line, "\"PUSH\"") &&
          absl::StrContains(line, "\"job\"")) {
        ++begun;
      }
    }
    return begun;
  }

  static rpc::TlsIdentity IdentityIn(const std::string& directory) {
    const auto identity = rpc::LoadTls(rpc::TlsFiles::In(directory));
    EXPECT_TRUE(identity.ok()) << identity.status();
    return identity.ok() ? *identity : rpc::TlsIdentity();
  }
  // How a stream of that caller ends that begins with the request.
  absl::Status EndOf(const std::string& caller,
                     const v1::PushRequest& request) {
    const auto stream = rpc::OpenDataStream(DataPort(), IdentityIn(caller));
    if (!stream.ok()) return stream.status();
    v1::PushReply reply;
    (void)(*stream)->Write(request);
    EXPECT_FALSE((*stream)->Read(&reply));
    return (*stream)->Finish();
  }
  static v1::PushRequest Announcement() {
    v1::PushRequest request;
    v1::ImageAnnouncement& begin = *request.mutable_begin();
    begin.set_image("job");
    begin.set_transfer_id("t1");
    begin.set_cgroup("/jobs/a");
    begin.set_further_stream(true);
    return request;
  }

  TestCa ca_;
  const std::string node_ = ca_.Make("localhost,127.0.0.1");
  const std::string mover_ = ca_.Make("mover");
  std::string address_;
};

TEST_F(DataPortTest, DataComeByIt) {
  MakeImage("job", 24, "noise");
  ASSERT_NO_FATAL_FAILURE(StartNode());
  const CommandResult pushed = PushJob();
  ASSERT_EQ(pushed.exit_status, 0) << pushed.err;
  EXPECT_FALSE(absl::StrContains(pushed.out, "data port")) << pushed.out;
  ExpectArrived("job");
  // That of gRPC, and two that carry.
  EXPECT_EQ(StreamsBegun(), 3) << AgentLog();
}

TEST_F(DataPortTest, WithoutItTheyComeByGrpc) {
  MakeImage("job", 4, "noise");
  ASSERT_NO_FATAL_FAILURE(StartNode({"--data-port", "none"}));
  const CommandResult pushed = PushJob();
  ASSERT_EQ(pushed.exit_status, 0) << pushed.err;
  EXPECT_FALSE(absl::StrContains(pushed.out, "data port")) << pushed.out;
  ExpectArrived("job");
  EXPECT_EQ(StreamsBegun(), 2) << AgentLog();
}

TEST_F(DataPortTest, ReceiverKilledInTheMiddleIsGoneOnWith) {
  MakeImage("job", 48, "noise");
  ASSERT_NO_FATAL_FAILURE(StartNode({}, "transfer.receive=stop"));
  std::vector<std::string> words = Words(
      {"push", "job", "--to", address_, "--tls-ca", mover_ + "/ca.pem",
       "--tls-cert", mover_ + "/cert.pem", "--tls-key", mover_ + "/key.pem"});
  RunningCkpt push(words, "");
  ASSERT_TRUE(agent_->WaitUntilStopped(Soon())) << push.ReadErrors();
  KillAgent();
  ASSERT_NO_FATAL_FAILURE(StartAgent(
      "", {"--listen", address_, "--tls-ca", node_ + "/ca.pem", "--tls-cert",
           node_ + "/cert.pem", "--tls-key", node_ + "/key.pem"}));
  EXPECT_EQ(push.Wait(), 0) << push.ReadErrors();
  EXPECT_TRUE(absl::StrContains(push.ReadOutput(), "as connections broke"))
      << push.ReadOutput();
  ExpectArrived("job");
}

TEST_F(DataPortTest, PortThatIsTakenIsTold) {
  const UniqueFd taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(taken.get(), any, size), 0);
  ASSERT_EQ(::listen(taken.get(), 1), 0);
  ASSERT_EQ(::getsockname(taken.get(), any, &size), 0);
  RunningCkpt agent(
      {RunfilesPath("agent/ckptd"), "--socket", socket_, "--store", there_,
       "--listen", "127.0.0.1:0", "--data-port",
       absl::StrCat(ntohs(address.sin_port)), "--tls-ca", node_ + "/ca.pem",
       "--tls-cert", node_ + "/cert.pem", "--tls-key", node_ + "/key.pem"},
      "");
  EXPECT_EQ(agent.Wait(), kUnavailable);
  EXPECT_TRUE(absl::StrContains(agent.ReadErrors(), "--data-port"))
      << agent.ReadErrors();
  RunningCkpt wrong({RunfilesPath("agent/ckptd"), "--data-port", "70000"}, "");
  EXPECT_EQ(wrong.Wait(), kUsageError);
  EXPECT_TRUE(absl::StrContains(wrong.ReadErrors(), "'70000'"))
      << wrong.ReadErrors();
}

TEST_F(DataPortTest, WhoMayNotGetsNoFurther) {
  ASSERT_NO_FATAL_FAILURE(StartNode());
  // Another authority.
  const TestCa other;
  rpc::TlsIdentity stranger = IdentityIn(other.Make("mover"));
  stranger.ca = IdentityIn(mover_).ca;
  if (const auto stream = rpc::OpenDataStream(DataPort(), stranger);
      stream.ok()) {
    v1::PushReply reply;
    (void)(*stream)->Write(Announcement());
    EXPECT_FALSE((*stream)->Read(&reply));
  }
  ASSERT_NO_FATAL_FAILURE(AwaitLogged("the other's certificate is refused"));
  // No certificate at all.
  const auto shown =
      RunCommand({"openssl", "s_client", "-connect", DataPort().Text(),
                  "-CAfile", node_ + "/ca.pem", "-verify_return_error"});
  ASSERT_TRUE(shown.ok()) << shown.status();
  ASSERT_NO_FATAL_FAILURE(AwaitLogged("peer did not return a certificate"));
  // A name that the policy does not have.
  const absl::Status nobody = EndOf(ca_.Make("nobody"), Announcement());
  EXPECT_TRUE(absl::IsPermissionDenied(nobody)) << nobody;
  EXPECT_FALSE(ImageStore(there_).Open("job").ok());
  EXPECT_FALSE(HasArrivedInPart("job"));
}

TEST_F(DataPortTest, WhatIsNoFurtherStreamIsRefused) {
  ASSERT_NO_FATAL_FAILURE(StartNode());
  v1::PushRequest commit;
  commit.mutable_commit()->set_manifest("m");
  EXPECT_TRUE(absl::IsFailedPrecondition(EndOf(mover_, commit)));
  v1::PushRequest first = Announcement();
  first.mutable_begin()->set_further_stream(false);
  EXPECT_TRUE(absl::IsFailedPrecondition(EndOf(mover_, first)));
  // Of a push to some other node.
  EXPECT_TRUE(absl::IsFailedPrecondition(EndOf(mover_, Announcement())));

  auto connection = rpc::TlsConnection::Connect(DataPort(), IdentityIn(mover_),
                                                absl::Seconds(20));
  ASSERT_TRUE(connection.ok()) << connection.status();
  ASSERT_TRUE((*connection)->Write("GET / HTTP/1.1\r\n\r\n"));
  const auto answer = rpc::ReadReply(**connection);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->end().code(),
            static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_FALSE(HasArrivedInPart("job"));
}

}  // namespace
}  // namespace ckpt
