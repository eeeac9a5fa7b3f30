// Streams to a port for data, over real TLS: what passes, and who does not.
#include "rpc/data_stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/aligned_bytes.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "rpc/data_frame.h"
#include "rpc/status_proto.h"
#include "rpc/tls_connection.h"
#include "tests/support/test_ca.h"

namespace ckpt::rpc {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(20);

TlsIdentity IdentityIn(const std::string& directory) {
  const auto identity = LoadTls(TlsFiles::In(directory));
  EXPECT_TRUE(identity.ok()) << identity.status();
  return identity.ok() ? *identity : TlsIdentity();
}

v1::PushRequest Announcement() {
  v1::PushRequest request;
  request.mutable_begin()->set_image("job");
  request.mutable_begin()->set_further_stream(true);
  return request;
}

v1::PushRequest Chunk(size_t bytes) {
  v1::PushRequest request;
  request.mutable_chunk()->set_file("pages-1.img");
  request.mutable_chunk()->set_data(std::string(bytes, 'x'));
  return request;
}

void EndWith(TlsConnection& connection, const absl::Status& status) {
  v1::DataReply last;
  *last.mutable_end() = ToStatusProto(status);
  EXPECT_TRUE(WriteReply(connection, last));
  connection.Close(kLimit);
}

DataReader ReaderOf(TlsConnection& connection) {
  return DataReader([&connection](char* bytes, size_t count) {
    return connection.Read(bytes, count);
  });
}

// A port that takes one connection, in a thread.
class Port {
 public:
  Port() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(socket_.get(), any, size), 0);
    EXPECT_EQ(::listen(socket_.get(), 4), 0);
    EXPECT_EQ(::getsockname(socket_.get(), any, &size), 0);
    place_ = {.host = "127.0.0.1", .port = ntohs(address.sin_port)};
  }
  ~Port() { Wait(); }

  using Serve =
      std::function<void(absl::StatusOr<std::unique_ptr<TlsConnection>>)>;
  void Start(const TlsIdentity& identity, Serve serve) {
    thread_ = std::thread([this, identity, serve = std::move(serve)] {
      UniqueFd socket(::accept4(socket_.get(), nullptr, nullptr,
                                SOCK_CLOEXEC | SOCK_NONBLOCK));
      serve(TlsConnection::Accept(std::move(socket), identity, kLimit));
    });
  }
  void Wait() {
    if (thread_.joinable()) thread_.join();
  }
  void Close() { socket_.Reset(); }

  const HostPort& place() const { return place_; }

 private:
  UniqueFd socket_;
  HostPort place_;
  std::thread thread_;
};

class DataStreamTest : public testing::Test {
 protected:
  TestCa ca_;
  const TlsIdentity node_ = IdentityIn(ca_.Make("localhost,127.0.0.1"));
  const TlsIdentity mover_ = IdentityIn(ca_.Make("spiffe://test/mover,mover"));
  Port port_;
};

TEST_F(DataStreamTest, MessagesPassAndTheEndIsTold) {
  std::vector<std::string> names;
  std::vector<v1::PushRequest> taken;
  port_.Start(node_, [&](auto connection) {
    ASSERT_TRUE(connection.ok()) << connection.status();
    names = (*connection)->PeerNames();
    EXPECT_TRUE(absl::StartsWith((*connection)->PeerAddress(), "ipv4:127."));
    DataReader reader = ReaderOf(**connection);
    v1::PushRequest request;
    AlignedBytes data;
    while (reader.Read(&request, &data)) {
      taken.push_back(request);
      if (request.has_chunk()) {
        taken.back().mutable_chunk()->set_data(data.data(), data.size());
      }
      if (!request.has_begin()) continue;
      v1::DataReply reply;
      reply.mutable_reply()->mutable_state()->set_data_port(7);
      EXPECT_TRUE(WriteReply(**connection, reply));
    }
    EXPECT_EQ(reader.status(), absl::OkStatus());
    EndWith(**connection, absl::OkStatus());
  });
  const auto stream = OpenDataStream(port_.place(), mover_);
  ASSERT_TRUE(stream.ok()) << stream.status();
  ASSERT_TRUE((*stream)->Write(Announcement()));
  v1::PushReply reply;
  ASSERT_TRUE((*stream)->Read(&reply));
  EXPECT_EQ(reply.state().data_port(), 7);
  const std::vector<v1::PushRequest> sent = {
      Announcement(), Chunk(kMaxDataBytes), Chunk(0), Chunk(100'000)};
  for (size_t i = 1; i < sent.size(); ++i) {
    ASSERT_TRUE((*stream)->Write(sent[i]));
  }
  EXPECT_EQ((*stream)->Finish(), absl::OkStatus());
  port_.Wait();
  EXPECT_EQ(names, (std::vector<std::string>{"mover", "spiffe://test/mover"}));
  ASSERT_EQ(taken.size(), sent.size());
  for (size_t i = 0; i < sent.size(); ++i) {
    EXPECT_EQ(taken[i].SerializeAsString(), sent[i].SerializeAsString()) << i;
  }
}

TEST_F(DataStreamTest, WhoWritesOnLearnsWhyItWasRefused) {
  port_.Start(node_, [](auto connection) {
    ASSERT_TRUE(connection.ok()) << connection.status();
    DataReader reader = ReaderOf(**connection);
    v1::PushRequest request;
    AlignedBytes data;
    EXPECT_TRUE(reader.Read(&request, &data));
    EXPECT_TRUE(reader.Read(&request, &data));
    EndWith(**connection, absl::DataLossError("the chunk differs"));
  });
  const auto stream = OpenDataStream(port_.place(), mover_);
  ASSERT_TRUE(stream.ok()) << stream.status();
  ASSERT_TRUE((*stream)->Write(Announcement()));
  while ((*stream)->Write(Chunk(kMaxDataBytes))) {
  }
  EXPECT_EQ((*stream)->Finish(), absl::DataLossError("the chunk differs"));
}

TEST_F(DataStreamTest, OtherMessagesThanAFurtherStreamsAreRefused) {
  v1::PushRequest commit;
  commit.mutable_commit()->set_manifest("m");
  v1::PushRequest first = Announcement();
  first.mutable_begin()->set_further_stream(false);
  for (const v1::PushRequest& wrong : {commit, first, Chunk(1)}) {
    Port port;
    absl::Status status;
    port.Start(node_, [&](auto connection) {
      ASSERT_TRUE(connection.ok()) << connection.status();
      DataReader reader = ReaderOf(**connection);
      v1::PushRequest request;
      AlignedBytes data;
      EXPECT_FALSE(reader.Read(&request, &data));
      status = reader.status();
      EndWith(**connection, status);
    });
    const auto stream = OpenDataStream(port.place(), mover_);
    ASSERT_TRUE(stream.ok()) << stream.status();
    EXPECT_TRUE((*stream)->Write(wrong));
    EXPECT_TRUE(absl::IsFailedPrecondition((*stream)->Finish()));
    port.Wait();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  }
}

TEST_F(DataStreamTest, BrokenConnectionIsNoEnd) {
  absl::Status status;
  port_.Start(node_, [&](auto connection) {
    ASSERT_TRUE(connection.ok()) << connection.status();
    DataReader reader = ReaderOf(**connection);
    v1::PushRequest request;
    AlignedBytes data;
    EXPECT_TRUE(reader.Read(&request, &data));
    EXPECT_FALSE(reader.Read(&request, &data));
    status = reader.status();
  });
  const auto stream = OpenDataStream(port_.place(), mover_);
  ASSERT_TRUE(stream.ok()) << stream.status();
  EXPECT_TRUE((*stream)->Write(Announcement()));
  (*stream)->Cancel();
  EXPECT_TRUE(absl::IsUnavailable((*stream)->Finish()));
  port_.Wait();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

TEST_F(DataStreamTest, WhoSaysNothingIsNotWaitedFor) {
  absl::Notification given_up;
  port_.Start(node_, [&](auto connection) {
    ASSERT_TRUE(connection.ok()) << connection.status();
    given_up.WaitForNotification();
  });
  const auto stream = OpenDataStream(port_.place(), mover_);
  ASSERT_TRUE(stream.ok()) << stream.status();
  EXPECT_TRUE((*stream)->Write(Announcement()));
  v1::PushReply reply;
  EXPECT_FALSE((*stream)->Read(&reply));
  EXPECT_TRUE(absl::IsUnavailable((*stream)->Finish()));
  given_up.Notify();
}

TEST_F(DataStreamTest, WhatComesAfterTheDeadlineIsNotRead) {
  std::string read(2, 'x');
  port_.Start(node_, [&](auto connection) {
    ASSERT_TRUE(connection.ok()) << connection.status();
    (*connection)->SetReadDeadline(absl::InfiniteFuture());
    EXPECT_TRUE((*connection)->Read(read.data(), 1));
    (*connection)->SetReadDeadline(absl::InfinitePast());
    EXPECT_FALSE((*connection)->Read(read.data() + 1, 1));
  });
  const auto connection = TlsConnection::Connect(port_.place(), mover_, kLimit);
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_TRUE((*connection)->Write("a"));
  EXPECT_TRUE((*connection)->Write("b"));
  port_.Wait();
  EXPECT_EQ(read, "ax");
}

TEST_F(DataStreamTest, CancelEndsWhatWaits) {
  port_.Start(node_, [](auto connection) {
    ASSERT_TRUE(connection.ok()) << connection.status();
    char byte = 0;
    while ((*connection)->Read(&byte, 1)) {
    }
  });
  const auto stream = OpenDataStream(port_.place(), mover_);
  ASSERT_TRUE(stream.ok()) << stream.status();
  std::thread canceller([&] { (*stream)->Cancel(); });
  v1::PushReply reply;
  EXPECT_FALSE((*stream)->Read(&reply));
  canceller.join();
  EXPECT_FALSE((*stream)->Write(Announcement()));
}

TEST_F(DataStreamTest, CallerOfAnotherAuthorityDoesNotGetIn) {
  const TestCa other;
  absl::Status accepted;
  port_.Start(node_, [&](auto connection) { accepted = connection.status(); });
  // It trusts the node, and shows a certificate that the node does not trust.
  TlsIdentity stranger = IdentityIn(other.Make("mover"));
  stranger.ca = mover_.ca;
  const auto stream = OpenDataStream(port_.place(), stranger);
  port_.Wait();
  EXPECT_TRUE(absl::IsUnauthenticated(accepted)) << accepted;
  if (!stream.ok()) return;
  (void)(*stream)->Write(Announcement());
  v1::PushReply reply;
  EXPECT_FALSE((*stream)->Read(&reply));
  EXPECT_FALSE((*stream)->Finish().ok());
}

TEST_F(DataStreamTest, NodeOfAnotherAuthorityOrNameIsNotTrusted) {
  const TestCa other;
  const TlsIdentity strange = IdentityIn(other.Make("localhost,127.0.0.1"));
  const TlsIdentity misnamed = IdentityIn(ca_.Make("elsewhere"));
  for (const TlsIdentity& node : {strange, misnamed}) {
    Port port;
    port.Start(node, [](auto connection) { EXPECT_FALSE(connection.ok()); });
    const absl::Status status = OpenDataStream(port.place(), mover_).status();
    EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;
  }
}

TEST_F(DataStreamTest, PortWhereNobodyAnswersIsTold) {
  // The kernel connects, and nobody shakes hands.
  absl::Status status = OpenDataStream(port_.place(), mover_).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  port_.Close();
  status = OpenDataStream(port_.place(), mover_).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

}  // namespace
}  // namespace ckpt::rpc
