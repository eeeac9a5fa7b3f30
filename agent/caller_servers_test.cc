#include "agent/caller_servers.h"

#include <sys/socket.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace ckpt::agent {
namespace {

Caller User(uid_t uid, gid_t gid = 0) {
  Caller caller;
  caller.uid = uid;
  caller.gids = {gid};
  caller.name = absl::StrCat("uid ", uid);
  return caller;
}

class CallerServersTest : public testing::Test {
 protected:
  using Connections = std::shared_ptr<std::vector<UniqueFd>>;

  class FakeServer : public CallerServer {
   public:
    explicit FakeServer(Connections connections)
        : connections_(std::move(connections)) {}
    ~FakeServer() override { connections_->clear(); }
    void Serve(UniqueFd connection) override {
      connections_->push_back(std::move(connection));
    }

   private:
    Connections connections_;
  };

  absl::Status Connect(CallerServers& servers, const Caller& caller) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    callers_ends_.emplace_back(ends[1]);
    return servers.Serve(caller, UniqueFd(ends[0]));
  }

  // As gRPC does when the caller has hung up.
  void Close(uid_t uid) { connections_[uid]->clear(); }

  std::unique_ptr<CallerServer> Make(const Caller& caller) {
    ++made_;
    if (fail_) return nullptr;
    connections_[*caller.uid] = std::make_shared<std::vector<UniqueFd>>();
    return std::make_unique<FakeServer>(connections_[*caller.uid]);
  }

  int made_ = 0;
  bool fail_ = false;
  std::map<uid_t, Connections> connections_;
  std::vector<UniqueFd> callers_ends_;
  CallerServers servers_{[this](const Caller& caller) { return Make(caller); },
                         /*most=*/2};
};

TEST_F(CallerServersTest, OneServerServesAllConnectionsOfACaller) {
  EXPECT_EQ(Connect(servers_, User(7)), absl::OkStatus());
  EXPECT_EQ(Connect(servers_, User(7)), absl::OkStatus());
  EXPECT_EQ(made_, 1);
  EXPECT_EQ(Connect(servers_, User(7, 3)), absl::OkStatus());
  EXPECT_EQ(made_, 2);
}

TEST_F(CallerServersTest, CallerWhoHasGoneMakesRoomForTheNext) {
  EXPECT_EQ(Connect(servers_, User(7)), absl::OkStatus());
  EXPECT_EQ(Connect(servers_, User(8)), absl::OkStatus());
  const absl::Status refused = Connect(servers_, User(9));
  EXPECT_TRUE(absl::IsUnavailable(refused));
  EXPECT_TRUE(absl::StrContains(refused.message(), "uid 9 is one too many"));

  Close(7);
  EXPECT_EQ(Connect(servers_, User(9)), absl::OkStatus());
  // One that was let go of may come back.
  Close(8);
  EXPECT_EQ(Connect(servers_, User(7)), absl::OkStatus());
}

TEST_F(CallerServersTest, RootGetsInWhoeverIsThere) {
  EXPECT_EQ(Connect(servers_, User(7)), absl::OkStatus());
  EXPECT_EQ(Connect(servers_, User(8)), absl::OkStatus());
  EXPECT_EQ(Connect(servers_, User(0)), absl::OkStatus());
}

TEST_F(CallerServersTest, ServerThatCouldNotBeMadeIsTriedAgain) {
  fail_ = true;
  EXPECT_TRUE(absl::IsUnavailable(Connect(servers_, User(7))));
  fail_ = false;
  EXPECT_EQ(Connect(servers_, User(7)), absl::OkStatus());
}

}  // namespace
}  // namespace ckpt::agent
