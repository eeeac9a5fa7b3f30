// A job moves with its TCP connections, and its address with it: the client on
// a third node never connects anew, and every answer is right.  What keeps the
// source from answering for them goes when it may, and not before.
#include <fcntl.h>
#include <sched.h>

#include <cstring>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "criu/network_lock.h"
#include "gtest/gtest.h"
#include "tests/node/migration_lab.h"
#include "tests/node/node.h"
#include "tests/node/rounds.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workload.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

constexpr char kService[] = "10.77.0.100";
constexpr char kPort[] = "6379";
constexpr char kTable[] = "inet CRIU-";

// Enough for all keys to have been read back.
constexpr uint64_t kRounds = 70;

absl::Time Soon() { return Clock::Real().Now() + absl::Seconds(90); }

class MigrateTcpTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(WhyNoCgroup(CgroupVersion::kV2), "");
    ASSERT_EQ(lab_.SetUp(3), absl::OkStatus());
  }

  // The server at node 1, which has the address, and the client.
  void Start(const std::string& faults1 = "", const std::string& faults2 = "") {
    ASSERT_EQ(lab_.StartAgent(1, faults1), absl::OkStatus());
    ASSERT_EQ(lab_.StartAgent(2, faults2), absl::OkStatus());
    WorkloadSpec server = WorkloadNamed("redis");
    server.args = {"--bind", "0.0.0.0", "--port", kPort};
    ASSERT_EQ(lab_.StartJob(server), absl::OkStatus());
    Job::Options client;
    client.argv = {RunfilesPath("tests/testcases/redis_client"),
                   "--status",
                   client_status_,
                   "--address",
                   kService,
                   "--port",
                   kPort};
    ASSERT_TRUE(lab_.node(3).Start(client).ok());
    ASSERT_NO_FATAL_FAILURE(ExpectClientGoesOn());
  }

  void ExpectClientGoesOn() {
    ASSERT_EQ(WaitForBeats(client_status_, kRounds, Soon()), absl::OkStatus())
        << lab_.Log(1) << lab_.Log(2);
  }

  CommandResult Migrate(int from, const std::string& id) {
    return lab_.Migrate(from, id, {"--tcp-established"});
  }

  void MoveAddress(int from, int to) {
    ASSERT_EQ(lab_.node(from).RemoveAddress(kService), absl::OkStatus());
    ASSERT_EQ(lab_.node(to).AddAddress(kService), absl::OkStatus());
    ASSERT_EQ(lab_.node(to).Announce(kService), absl::OkStatus());
  }

  // The lock that the journal of a source names.
  std::string TableOf(int node, const std::string& id) {
    const std::string shown = lab_.Ckpt(node, {"ops", "show", id}).out;
    const size_t start = shown.find(kTable);
    EXPECT_NE(start, std::string::npos) << shown;
    if (start == std::string::npos) return "";
    const size_t name = start + std::strlen("inet ");
    return shown.substr(name, shown.find_first_of(", \n", name) - name);
  }

  // Asks the kernel of that node's network.
  bool IsLocked(int node, const std::string& table) {
    const std::string path =
        absl::StrCat("/proc/", lab_.node(node).init_pid(), "/ns/net");
    absl::StatusOr<bool> exists = false;
    std::thread([&] {
      const UniqueFd network(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
      ASSERT_EQ(::setns(network.get(), CLONE_NEWNET), 0);
      exists = criu::NetworkLockExists(table);
    }).join();
    EXPECT_TRUE(exists.ok()) << exists.status();
    return exists.value_or(false);
  }

  void AwaitUnlocked(int node, const std::string& table) {
    const absl::Time deadline = Soon();
    while (IsLocked(node, table)) {
      ASSERT_LT(Clock::Real().Now(), deadline) << table << lab_.Log(node);
      Clock::Real().Sleep(absl::Milliseconds(20));
    }
  }

  MigrationLab lab_{CgroupVersion::kV2};
  const std::string client_status_ = lab_.File("client");
};

TEST_F(MigrateTcpTest, ConnectionGoesOnThereAndBack) {
  ASSERT_EQ(lab_.node(1).AddAddress(kService), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(Start());
  const int rounds = TestRounds(1);
  for (int step = 0; step < 2 * rounds; ++step) {
    const int from = 1 + step % 2;
    const int to = 3 - from;
    const std::string id = absl::StrCat("m", step);
    ASSERT_EQ(lab_.node(to).HoldAddress(kService), absl::OkStatus());
    const CommandResult moved = Migrate(from, id);
    ASSERT_EQ(moved.exit_status, 0) << moved.err << lab_.Log(1) << lab_.Log(2);
    const std::string table = TableOf(from, id);
    // The client's packets still go to it.
    EXPECT_TRUE(IsLocked(from, table)) << table;
    ASSERT_NO_FATAL_FAILURE(MoveAddress(from, to));
    ASSERT_NO_FATAL_FAILURE(ExpectClientGoesOn());
    ASSERT_NO_FATAL_FAILURE(AwaitUnlocked(from, table));
    ASSERT_EQ(lab_.AwaitOneCopy(), to);
    ASSERT_EQ(lab_.AwaitBeats(), absl::OkStatus());
  }
}

// The address is both nodes' all the time; where packets go to is the client's
// business, as with a route.
TEST_F(MigrateTcpTest, LockGoesWhenTheJobIsBack) {
  const auto send_to = [this](int node) {
    const auto link = lab_.node(node).Run({"ip", "-o", "link", "show", "eth0"});
    const std::string words = link.ok() ? link->out : "";
    const size_t at = words.find("link/ether ") + std::strlen("link/ether ");
    ASSERT_EQ(lab_.node(3).RunOrError(
                  {"ip", "neighbour", "replace", kService, "lladdr",
                   words.substr(at, std::strlen("00:00:00:00:00:00")), "nud",
                   "permanent", "dev", "eth0"}),
              absl::OkStatus());
  };
  ASSERT_EQ(lab_.node(1).HoldAddress(kService), absl::OkStatus());
  ASSERT_EQ(lab_.node(2).HoldAddress(kService), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(send_to(1));
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_EQ(Migrate(1, "there").exit_status, 0) << lab_.Log(1) << lab_.Log(2);
  const std::string table = TableOf(1, "there");
  ASSERT_NO_FATAL_FAILURE(send_to(2));
  ASSERT_NO_FATAL_FAILURE(ExpectClientGoesOn());
  EXPECT_TRUE(IsLocked(1, table));
  ASSERT_EQ(Migrate(2, "back").exit_status, 0) << lab_.Log(1) << lab_.Log(2);
  ASSERT_NO_FATAL_FAILURE(send_to(1));
  ASSERT_NO_FATAL_FAILURE(ExpectClientGoesOn());
  EXPECT_FALSE(IsLocked(1, table));
  EXPECT_TRUE(IsLocked(2, TableOf(2, "back")));
  EXPECT_EQ(lab_.AwaitOneCopy(), 1);
}

TEST_F(MigrateTcpTest, RefusedConnectionGoesOnAtTheSource) {
  ASSERT_EQ(lab_.node(1).AddAddress(kService), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(Start("", "migrate.held=error"));
  ASSERT_EQ(lab_.node(2).HoldAddress(kService), absl::OkStatus());
  EXPECT_NE(Migrate(1, "m").exit_status, 0);
  ASSERT_NO_FATAL_FAILURE(ExpectClientGoesOn());
  EXPECT_EQ(lab_.AwaitOneCopy(), 1);
}

// CRIU can give nothing back then.
TEST_F(MigrateTcpTest, ConnectionGoesOnWithoutCriu) {
  ASSERT_EQ(lab_.node(1).AddAddress(kService), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(Start("migrate.dumped=stop", "migrate.held=error"));
  ASSERT_EQ(lab_.node(2).HoldAddress(kService), absl::OkStatus());
  ASSERT_TRUE(lab_.StartMigration(1, "m", {"--tcp-established"}).ok());
  ASSERT_EQ(lab_.AwaitAgentStopped(1), absl::OkStatus());
  ASSERT_EQ(
      lab_.node(1).RunOrError(
          {"sh", "-c",
           "killed=; for d in /proc/[0-9]*; do tr '\\0' ' ' <$d/cmdline | "
           "grep -q ' [s]wrk ' && kill -9 ${d#/proc/} && killed=1; done; "
           "test $killed"}),
      absl::OkStatus());
  ASSERT_EQ(lab_.ContinueAgent(1), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(ExpectClientGoesOn());
  EXPECT_EQ(lab_.AwaitOneCopy(), 1);
  EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
}

TEST_F(MigrateTcpTest, GuardianLetsTheConnectionGoOn) {
  ASSERT_EQ(lab_.node(1).AddAddress(kService), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(Start("migrate.ready=kill"));
  ASSERT_EQ(lab_.node(2).HoldAddress(kService), absl::OkStatus());
  EXPECT_NE(Migrate(1, "m").exit_status, 0);
  ASSERT_EQ(lab_.AwaitAgentGone(1), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(ExpectClientGoesOn());
  ASSERT_EQ(lab_.StartAgent(1), absl::OkStatus());
  EXPECT_EQ(lab_.AwaitOneCopy(), 1);
}

TEST_F(MigrateTcpTest, LockOutlivesTheAgentAndGoesWithTheAddress) {
  ASSERT_EQ(lab_.node(1).AddAddress(kService), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(Start("migrate.decided=kill"));
  ASSERT_EQ(lab_.node(2).HoldAddress(kService), absl::OkStatus());
  EXPECT_NE(Migrate(1, "m").exit_status, 0);
  ASSERT_EQ(lab_.AwaitAgentGone(1), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(1), absl::OkStatus());
  ASSERT_EQ(lab_.AwaitOneCopy(), 2);
  const std::string table = TableOf(1, "m");
  ASSERT_EQ(lab_.KillAgent(1), absl::OkStatus());
  EXPECT_TRUE(IsLocked(1, table));
  ASSERT_EQ(lab_.StartAgent(1), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(MoveAddress(1, 2));
  ASSERT_NO_FATAL_FAILURE(ExpectClientGoesOn());
  ASSERT_NO_FATAL_FAILURE(AwaitUnlocked(1, table));
}

}  // namespace
}  // namespace ckpt
