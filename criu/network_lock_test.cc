#include "criu/network_lock.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/test_network.h"

namespace ckpt::criu {
namespace {

// As CRIU chooses them, and the name that CRIU has room for.
constexpr char kRunId[] = "6a0e1f2c-93b4-4f5e-8d11-0c9fd0a4c7e3";
constexpr char kWhole[] = "CRIU-6a0e1f2c-93b4-4f5e-8d11-0c9fd0a4c7e3";
constexpr char kCut[] = "CRIU-6a0e1f2c-93b4-4f5e-8d";

class NetworkLockTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(EnterNewNetwork(), absl::OkStatus()); }

  static std::string Found() {
    const auto table = FindNetworkLock(kRunId);
    EXPECT_TRUE(table.ok()) << table.status();
    return table.value_or("error");
  }

  static bool Exists(const std::string& table) {
    const auto exists = NetworkLockExists(table);
    EXPECT_TRUE(exists.ok()) << exists.status();
    return exists.value_or(false);
  }
};

TEST_F(NetworkLockTest, LockIsFoundByWhatCriuHasMadeOfItsRunId) {
  EXPECT_EQ(Found(), "");
  ASSERT_EQ(MakeNftTable(kCut), absl::OkStatus());
  EXPECT_EQ(Found(), kCut);
  ASSERT_EQ(MakeNftTable(kWhole), absl::OkStatus());
  EXPECT_EQ(Found(), kWhole);
}

TEST_F(NetworkLockTest, LockOfAnotherRunIsNotFound) {
  ASSERT_EQ(MakeNftTable("CRIU-6a0e1f2c-93b4-4f5e-8e"), absl::OkStatus());
  ASSERT_EQ(MakeNftTable("CRIU-"), absl::OkStatus());
  EXPECT_EQ(Found(), "");
}

TEST_F(NetworkLockTest, LockIsRemovedAndAllElseStays) {
  ASSERT_EQ(MakeNftTable(kCut), absl::OkStatus());
  ASSERT_EQ(DropAllPackets(kCut), absl::OkStatus());
  ASSERT_EQ(MakeNftTable("firewall"), absl::OkStatus());
  EXPECT_EQ(RemoveNetworkLock(kCut), absl::OkStatus());
  EXPECT_FALSE(Exists(kCut));
  EXPECT_TRUE(Exists("firewall"));
}

TEST_F(NetworkLockTest, LockThatIsGoneIsRemovedAgain) {
  EXPECT_FALSE(Exists(kCut));
  EXPECT_EQ(RemoveNetworkLock(kCut), absl::OkStatus());
}

// The kernel takes a removal without a name for one of all tables.
TEST_F(NetworkLockTest, NoNameRemovesNothing) {
  ASSERT_EQ(MakeNftTable("firewall"), absl::OkStatus());
  EXPECT_TRUE(absl::IsInvalidArgument(RemoveNetworkLock("")));
  EXPECT_TRUE(absl::IsInvalidArgument(NetworkLockExists("").status()));
  EXPECT_EQ(RemovalMessage(""), "");
  EXPECT_TRUE(Exists("firewall"));
}

TEST_F(NetworkLockTest, TableOfAnotherFamilyIsNoLock) {
  ASSERT_EQ(MakeNftTableOfIpv4(kCut), absl::OkStatus());
  EXPECT_EQ(Found(), "");
  EXPECT_EQ(RemoveNetworkLock(kCut), absl::OkStatus());
  EXPECT_TRUE(absl::IsAlreadyExists(MakeNftTableOfIpv4(kCut)));
}

TEST_F(NetworkLockTest, LockOfAnotherNetworkIsNotFound) {
  ASSERT_EQ(MakeNftTable(kCut), absl::OkStatus());
  ASSERT_EQ(EnterNewNetwork(), absl::OkStatus());
  EXPECT_EQ(Found(), "");
}

TEST_F(NetworkLockTest, RemovalMessageRemovesAtOnceAndNothingElse) {
  ASSERT_EQ(MakeNftTable(kCut), absl::OkStatus());
  ASSERT_EQ(MakeNftTable("firewall"), absl::OkStatus());
  const auto socket = OpenNetfilter();
  ASSERT_TRUE(socket.ok()) << socket.status();
  const std::string message = RemovalMessage(kCut);
  ASSERT_EQ(::write(socket->get(), message.data(), message.size()),
            static_cast<ssize_t>(message.size()));
  EXPECT_FALSE(Exists(kCut));
  EXPECT_TRUE(Exists("firewall"));
}

// Of a guardian, which has it from its parent.
TEST_F(NetworkLockTest, RemovalMessageIsForTheNetworkThatTheSocketIsOf) {
  ASSERT_EQ(MakeNftTable(kCut), absl::OkStatus());
  const auto socket = OpenNetfilter();
  ASSERT_TRUE(socket.ok()) << socket.status();
  const std::string message = RemovalMessage(kCut);
  const pid_t child = ::fork();
  if (child == 0) {
    const bool sent = EnterNewNetwork().ok() &&
                      ::write(socket->get(), message.data(), message.size()) ==
                          static_cast<ssize_t>(message.size());
    ::_exit(sent ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(Exists(kCut));
}

// No answer is not taken for "none".
TEST_F(NetworkLockTest, WhoMayNotAskIsNotToldThatThereIsNone) {
  const pid_t child = ::fork();
  if (child == 0) {
    const bool refused =
        ::setresuid(65534, 65534, 65534) == 0 &&
        absl::IsPermissionDenied(FindNetworkLock(kRunId).status()) &&
        absl::IsPermissionDenied(RemoveNetworkLock(kCut));
    ::_exit(refused ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace ckpt::criu
