#include "agent/local_listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "gtest/gtest.h"
#include "tests/support/test_dir.h"

namespace ckpt::agent {
namespace {

UniqueFd Connect(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                      sizeof(address)),
            0);
  return socket;
}

mode_t ModeOf(const std::string& path) {
  struct stat about = {};
  EXPECT_EQ(::stat(path.c_str(), &about), 0);
  return about.st_mode & 0777;
}

class LocalListenerTest : public testing::Test {
 protected:
  TestDir dir_;
  const std::string path_ = dir_.File("socket");
};

TEST_F(LocalListenerTest, SocketIsForItsOwnerAloneUnlessAGroupIsNamed) {
  ASSERT_TRUE(ListenLocally(path_, absl::nullopt).ok());
  EXPECT_EQ(ModeOf(path_), 0600);
  ASSERT_TRUE(ListenLocally(path_, ::getegid()).ok());
  EXPECT_EQ(ModeOf(path_), 0660);
}

TEST_F(LocalListenerTest, LivingAgentsSocketIsLeftAlone) {
  const auto first = ListenLocally(path_, absl::nullopt);
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(absl::IsAlreadyExists(
      ListenLocally(path_, absl::nullopt, absl::ZeroDuration()).status()));
  Connect(path_);
}

TEST_F(LocalListenerTest, FileThatIsNoSocketIsLeftAlone) {
  std::ofstream(path_) << "precious";
  EXPECT_TRUE(absl::IsAlreadyExists(
      ListenLocally(path_, absl::nullopt, absl::ZeroDuration()).status()));
  EXPECT_EQ(::access(path_.c_str(), F_OK), 0);
}

TEST_F(LocalListenerTest, PathThatIsTooLongIsRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      ListenLocally(std::string(200, 'x'), absl::nullopt).status()));
}

TEST_F(LocalListenerTest, CallerIsWhomTheKernelNames) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd one(ends[0]), other(ends[1]);
  const auto caller = CallerOf(one.get(), UserNames::Real());
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(*caller->uid, ::geteuid());
  EXPECT_EQ(std::count(caller->gids.begin(), caller->gids.end(), ::getegid()),
            1);
  EXPECT_TRUE(
      absl::StartsWith(caller->name, absl::StrCat("uid ", ::geteuid())));
}

TEST_F(LocalListenerTest, OneServerServesAllConnectionsOfACaller) {
  class CountingServer : public CallerServer {
   public:
    explicit CountingServer(absl::BlockingCounter& served) : served_(served) {}
    void Serve(UniqueFd connection) override {
      EXPECT_TRUE(connection.ok());
      served_.DecrementCount();
    }

   private:
    absl::BlockingCounter& served_;
  };
  auto socket = ListenLocally(path_, absl::nullopt);
  ASSERT_TRUE(socket.ok());
  absl::BlockingCounter served(3);
  int made = 0;
  LocalListener listener(
      *std::move(socket), UserNames::Real(),
      [&](const Caller& caller) {
        EXPECT_EQ(*caller.uid, ::geteuid());
        ++made;
        return std::make_unique<CountingServer>(served);
      },
      [](const std::string& reason) { ADD_FAILURE() << reason; });
  for (int i = 0; i < 3; ++i) Connect(path_);
  served.Wait();
  listener.Stop();
  EXPECT_EQ(made, 1);
}

}  // namespace
}  // namespace ckpt::agent
