// The nodes are good enough for a migration: a Redis server moves from one to
// another under plain CRIU, and its client on a third notices nothing.
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "tests/node/node.h"
#include "tests/node/node_network.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/plain_criu.h"
#include "tests/testcases/workload.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

constexpr char kService[] = "10.77.0.100";
constexpr char kPort[] = "6379";
constexpr char kServerStatus[] = "/run/redis.status";
constexpr char kClientStatus[] = "/run/client.status";

// Enough rounds for all keys to have been read back twice.
constexpr uint64_t kRounds = 130;

absl::Time Soon() { return Clock::Real().Now() + absl::Minutes(1); }

class RedisMoveTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string why = WhyNoCgroup(CgroupVersion::kV2);
    const auto version = PlainCriu::Version();
    if (!version.ok()) why = std::string(version.status().message());
    if (why.empty()) why = WhyCannotRun(WorkloadNamed("redis"), *version);
    if (!why.empty()) GTEST_SKIP() << why;
    auto network = NodeNetwork::Create(3);
    ASSERT_TRUE(network.ok()) << network.status();
    network_ = *std::move(network);
    auto group = TestCgroup::Create(CgroupVersion::kV2);
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }

  const Node& node(int number) const { return network_->node(number); }

  absl::StatusOr<Job> Start(int number, const std::string& program,
                            const std::vector<std::string>& arguments) {
    Job::Options options;
    options.argv = {RunfilesPath("tests/testcases/" + program)};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.cgroups = {group_.get()};
    return node(number).Start(options);
  }

  // Runs CRIU in a node; an error has its log.  What is restored is in the
  // group again.
  absl::Status RunCriu(int number, const std::vector<std::string>& command,
                       const std::string& image) {
    CommandOptions options;
    options.cgroups = {group_.get()};
    const auto result = node(number).Run(command, options);
    if (!result.ok()) return result.status();
    if (result->exit_status == 0) return absl::OkStatus();
    const auto log = ReadFile(node(number).OutsidePath(image + "/log"));
    return absl::InternalError(log.ok() ? *log : result->err);
  }

  absl::Status AwaitRounds(int number, const std::string& status_path) {
    return WaitForBeats(node(number).OutsidePath(status_path), kRounds, Soon());
  }

  std::unique_ptr<NodeNetwork> network_;
  std::unique_ptr<TestCgroup> group_;
};

TEST_F(RedisMoveTest, ClientOnAnotherNodeKeepsItsConnection) {
  ASSERT_TRUE(node(1).AddAddress(kService).ok());
  const auto server =
      Start(1, "redis",
            {"--status", kServerStatus, "--bind", "0.0.0.0", "--port", kPort});
  ASSERT_TRUE(server.ok()) << server.status();
  const auto client = Start(
      3, "redis_client",
      {"--status", kClientStatus, "--address", kService, "--port", kPort});
  ASSERT_TRUE(client.ok()) << client.status();
  ASSERT_EQ(AwaitRounds(1, kServerStatus), absl::OkStatus());
  ASSERT_EQ(AwaitRounds(3, kClientStatus), absl::OkStatus());

  const std::string image = absl::StrCat(kNodeStore, "/image");
  const PlainCriu criu(WorkloadNamed("redis").criu);
  ASSERT_TRUE(node(1).RunOrError({"mkdir", image}).ok());
  ASSERT_EQ(RunCriu(1, criu.Dump(server->pid(), image), image),
            absl::OkStatus());
  ASSERT_EQ(node(1).CopyTo(image, node(2)), absl::OkStatus());
  ASSERT_EQ(node(1).CopyTo(kServerStatus, node(2)), absl::OkStatus());
  ASSERT_EQ(node(1).RemoveAddress(kService), absl::OkStatus());
  ASSERT_EQ(node(2).AddAddress(kService), absl::OkStatus());
  ASSERT_EQ(RunCriu(2, criu.Restore(image), image), absl::OkStatus());
  ASSERT_EQ(node(2).Announce(kService), absl::OkStatus());

  EXPECT_EQ(AwaitRounds(3, kClientStatus), absl::OkStatus());
  EXPECT_EQ(AwaitRounds(2, kServerStatus), absl::OkStatus());
}

}  // namespace
}  // namespace ckpt
