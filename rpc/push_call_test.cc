#include "rpc/push_call.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "proto/agent.grpc.pb.h"
#include "tests/support/test_dir.h"

namespace ckpt::rpc {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(1);

absl::Time Soon() { return Clock::Real().Now() + absl::Seconds(60); }

v1::PushRequest ChunkOf(size_t bytes) {
  v1::PushRequest request;
  request.mutable_chunk()->set_data(std::string(bytes, 'x'));
  return request;
}

class PushCallTest : public testing::Test {
 protected:
  // A call to the test's socket.
  std::unique_ptr<transfer::PushStream> Call() {
    auto channel =
        Channel::Open({.node = "unix:" + socket_, .own_connection = true});
    EXPECT_TRUE(channel.ok()) << channel.status();
    channel_ = *channel;
    return StartPushCall(*std::move(channel));
  }

  // Until gRPC needs nothing of the call any more.
  void ExpectGone() {
    const absl::Time deadline = Soon();
    while (!channel_.expired()) {
      ASSERT_LT(Clock::Real().Now(), deadline);
      Clock::Real().Sleep(kPoll);
    }
  }

  TestDir dir_;
  const std::string socket_ = dir_.File("socket");
  std::weak_ptr<Channel> channel_;
};

// Answers the first message, and the commit; counts what comes in between.  A
// further stream it ends with the first answer.
class Receiving : public v1::Agent::Service {
 public:
  grpc::Status PushImage(
      grpc::ServerContext* /*context*/,
      grpc::ServerReaderWriter<v1::PushReply, v1::PushRequest>* stream)
      override {
    v1::PushRequest request;
    v1::PushReply reply;
    while (stream->Read(&request)) {
      bytes += request.chunk().data().size();
      if (request.has_begin()) {
        reply.mutable_state()->set_committed(true);
        stream->Write(reply);
        if (request.begin().further_stream()) {
          return {grpc::StatusCode::DATA_LOSS, "as soon as it was answered"};
        }
      } else if (request.has_commit()) {
        reply.mutable_result()->set_image("there");
        stream->Write(reply);
        return grpc::Status::OK;
      } else if (request.discard()) {
        return {grpc::StatusCode::DATA_LOSS, "as the test wants it"};
      }
    }
    return {grpc::StatusCode::ABORTED, "the stream ended"};
  }

  std::atomic<size_t> bytes{0};
};

class ReceivedCallTest : public PushCallTest {
 protected:
  void SetUp() override {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket_,
                             grpc::InsecureServerCredentials());
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }

  // Its first message and the answer.
  static void Begin(transfer::PushStream& call) {
    v1::PushRequest begin;
    begin.mutable_begin();
    ASSERT_TRUE(call.Write(begin));
    v1::PushReply reply;
    ASSERT_TRUE(call.Read(&reply));
    EXPECT_TRUE(reply.state().committed());
  }

  Receiving service_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(ReceivedCallTest, AllArrivesAndIsAnswered) {
  auto call = Call();
  ASSERT_NO_FATAL_FAILURE(Begin(*call));
  constexpr size_t kBytes = 256 << 10;
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(call->Write(ChunkOf(kBytes)));
  v1::PushRequest commit;
  commit.mutable_commit();
  ASSERT_TRUE(call->Write(commit));
  v1::PushReply reply;
  ASSERT_TRUE(call->Read(&reply));
  EXPECT_EQ(reply.result().image(), "there");
  EXPECT_FALSE(call->Read(&reply));
  EXPECT_EQ(call->Finish(), absl::OkStatus());
  EXPECT_EQ(service_.bytes, 40 * kBytes);
  call = nullptr;
  ExpectGone();
}

TEST_F(ReceivedCallTest, AnswersThatNobodyReadsDoNotKeepItFromEnding) {
  auto call = Call();
  v1::PushRequest begin;
  begin.mutable_begin();
  ASSERT_TRUE(call->Write(begin));
  v1::PushRequest commit;
  commit.mutable_commit();
  ASSERT_TRUE(call->Write(commit));
  EXPECT_EQ(call->Finish(), absl::OkStatus());
}

TEST_F(ReceivedCallTest, EndBehindAnAnswerThatNobodyReadsIsTold) {
  auto call = Call();
  v1::PushRequest begin;
  begin.mutable_begin()->set_further_stream(true);
  ASSERT_TRUE(call->Write(begin));
  // Until the end is here.
  while (call->Write(ChunkOf(1))) {
  }
  const absl::Status ended = call->Finish();
  EXPECT_EQ(ended.code(), absl::StatusCode::kDataLoss) << ended;
  call = nullptr;
  ExpectGone();
}

TEST_F(ReceivedCallTest, ErrorsOfTheNodeEndIt) {
  auto call = Call();
  ASSERT_NO_FATAL_FAILURE(Begin(*call));
  v1::PushRequest discard;
  discard.set_discard(true);
  (void)call->Write(discard);
  v1::PushReply reply;
  EXPECT_FALSE(call->Read(&reply));
  EXPECT_FALSE(call->Write(ChunkOf(1)));
  const absl::Status ended = call->Finish();
  EXPECT_EQ(ended.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ended.message(), "as the test wants it");
}

TEST_F(ReceivedCallTest, LeavingEndsIt) {
  auto call = Call();
  ASSERT_NO_FATAL_FAILURE(Begin(*call));
  call = nullptr;
  ExpectGone();
}

TEST_F(PushCallTest, NodeThatIsNotThereIsSaidToBe) {
  auto call = Call();
  v1::PushReply reply;
  EXPECT_FALSE(call->Read(&reply));
  const absl::Status ended = call->Finish();
  EXPECT_EQ(ended.code(), absl::StatusCode::kUnavailable) << ended;
}

// A node that lets everything be sent, and takes nothing from its socket, as
// one that was stopped in the middle of a transfer.
class StandstillTest : public PushCallTest {
 protected:
  void SetUp() override {
    sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
    ASSERT_LT(socket_.size(), sizeof address.sun_path);
    std::strncpy(address.sun_path, socket_.c_str(),
                 sizeof address.sun_path - 1);
    listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address),
                     sizeof address),
              0)
        << "errno " << errno;
    ASSERT_EQ(::listen(listener_.get(), 1), 0) << "errno " << errno;
  }

  // Takes the connection, and allows as much as HTTP/2 can (RFC 9113,
  // sections 6.5.2 and 6.9).
  void Accept() {
    connection_ =
        UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ASSERT_TRUE(connection_.ok()) << "errno " << errno;
    constexpr absl::string_view kAllow(
        "\0\0\6\4\0\0\0\0\0"    // SETTINGS, of 6 bytes:
        "\0\4\x7f\xff\xff\xff"  // INITIAL_WINDOW_SIZE
        "\0\0\4\x8\0\0\0\0\0"   // WINDOW_UPDATE of the connection, 4 bytes
        "\x7f\0\0\0",
        28);
    ASSERT_EQ(::send(connection_.get(), kAllow.data(), kAllow.size(), 0),
              static_cast<ssize_t>(kAllow.size()));
  }

  // What the sender's kernel could not get rid of.
  int Waiting() const {
    int bytes = 0;
    EXPECT_EQ(::ioctl(connection_.get(), SIOCINQ, &bytes), 0);
    return bytes;
  }

  UniqueFd listener_;
  UniqueFd connection_;
};

TEST_F(StandstillTest, CancelledCallIsGivenUpWhileItIsWritten) {
  auto call = Call();
  ASSERT_NO_FATAL_FAILURE(Accept());
  absl::Status ended;
  std::thread sender([&] {
    while (call->Write(ChunkOf(1 << 20))) {
    }
    ended = call->Finish();
  });
  const absl::Time deadline = Soon();
  while (Waiting() < 64 << 10 && Clock::Real().Now() < deadline) {
    Clock::Real().Sleep(kPoll);
  }
  EXPECT_GE(Waiting(), 64 << 10);
  const absl::Time start = Clock::Real().Now();
  call->Cancel();
  sender.join();
  EXPECT_EQ(ended.code(), absl::StatusCode::kCancelled) << ended;
  call = nullptr;
  // By itself gRPC waits for ever: nothing has ended the write.
  EXPECT_LT(Clock::Real().Now() - start, absl::Seconds(20));
  EXPECT_FALSE(channel_.expired());
  connection_.Reset();
  ExpectGone();
}

}  // namespace
}  // namespace ckpt::rpc
