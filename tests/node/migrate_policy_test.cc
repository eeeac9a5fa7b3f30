// A destination that takes the source's rule away in the middle of a migration
// refuses it from then on; the job still ends up whole at one of the nodes.
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/node/migration_lab.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {
namespace {

constexpr char kNobodyElse[] =
    "rule { local_user: '0' verb: ALL cgroup: '/' }\n";

class MigratePolicyTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    const std::string why = WhyNoCgroup(GetParam());
    if (!why.empty()) GTEST_SKIP() << why;
    ASSERT_EQ(lab_.SetUp(), absl::OkStatus());
  }

  void Start(const std::string& faults1 = "") {
    ASSERT_EQ(lab_.StartAgent(1, faults1), absl::OkStatus());
    ASSERT_EQ(lab_.StartAgent(2), absl::OkStatus());
    ASSERT_EQ(lab_.StartJob("pipes"), absl::OkStatus());
  }

  MigrationLab lab_{GetParam()};
};

TEST_P(MigratePolicyTest, RuleThatGoesBeforeTheDecisionGivesTheJobBack) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const auto migration =
      lab_.StartMigration(1, "m", {"--pause-before-switchover"});
  ASSERT_TRUE(migration.ok()) << migration.status();
  ASSERT_EQ(lab_.AwaitMigration(1, "m", "READY"), absl::OkStatus());
  ASSERT_EQ(lab_.ReloadPolicy(2, kNobodyElse), absl::OkStatus());
  ASSERT_EQ(lab_.Ckpt(1, {"ops", "continue", "m"}).exit_status, 0);
  const CommandResult ended = lab_.Ckpt(1, {"ops", "watch", "m"});
  EXPECT_TRUE(absl::StrContains(ended.out, "may not RECEIVE"))
      << ended.out << ended.err;
  EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
  EXPECT_EQ(lab_.AwaitMigration(2, "m", "DROPPED"), absl::OkStatus());
  EXPECT_EQ(lab_.AwaitOneCopy(), 1) << lab_.Log(1) << lab_.Log(2);
}

// The source may not tell it any more; it asks.
TEST_P(MigratePolicyTest, RuleThatGoesAfterTheDecisionLeavesTheJobThere) {
  ASSERT_NO_FATAL_FAILURE(Start("migrate.decided=stop"));
  const auto migration = lab_.StartMigration(1, "m");
  ASSERT_TRUE(migration.ok()) << migration.status();
  ASSERT_EQ(lab_.AwaitAgentStopped(1), absl::OkStatus());
  ASSERT_EQ(lab_.ReloadPolicy(2, kNobodyElse), absl::OkStatus());
  ASSERT_EQ(lab_.ContinueAgent(1), absl::OkStatus());
  EXPECT_EQ(lab_.AwaitMigration(2, "m", "RUNNING"), absl::OkStatus());
  EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
  EXPECT_TRUE(lab_.Tasks(1).empty());
  EXPECT_EQ(lab_.AwaitMigration(1, "m", "GONE"), absl::OkStatus());
  ASSERT_EQ(lab_.ReloadPolicy(2, MigrationLab::kPolicy), absl::OkStatus());
  EXPECT_EQ(lab_.AwaitMigration(1, "m", "DONE"), absl::OkStatus());
  EXPECT_EQ(lab_.AwaitOneCopy(), 2) << lab_.Log(1) << lab_.Log(2);
}

INSTANTIATE_TEST_SUITE_P(All, MigratePolicyTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return CgroupVersionName(info.param);
                         });

}  // namespace
}  // namespace ckpt
