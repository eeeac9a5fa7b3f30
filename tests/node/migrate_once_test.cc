// A job that has run at its new node is never built there again, whatever its
// agent does not remember.
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "tests/node/migration_lab.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

class MigrateOnceTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  uint64_t Beats() { return ReadStatus(lab_.File("status"))->beat; }

  MigrationLab lab_{GetParam()};
};

// Killed when the job was let go, and nothing of that is in its journal.
TEST_P(MigrateOnceTest, JobThatWasLetGoIsLeftAloneByTheNextAgent) {
  const std::string why = WhyNoCgroup(GetParam());
  if (!why.empty()) GTEST_SKIP() << why;
  ASSERT_EQ(lab_.SetUp(), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(1), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(2, "migrate.released=stop"), absl::OkStatus());
  ASSERT_EQ(lab_.StartJob("pipes"), absl::OkStatus());
  const absl::StatusOr<Job> migration = lab_.StartMigration(1, "m");
  ASSERT_TRUE(migration.ok()) << migration.status();
  ASSERT_EQ(lab_.AwaitAgentStopped(2), absl::OkStatus());
  EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
  const std::vector<pid_t> tasks = lab_.Tasks(2);
  ASSERT_FALSE(tasks.empty());
  const uint64_t beats = Beats();
  ASSERT_EQ(lab_.KillAgent(2), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(2), absl::OkStatus());
  EXPECT_EQ(lab_.AwaitOneCopy(), 2)
      << lab_.Ckpt(2, {"ops", "show", "m"}).out << lab_.Log(2);
  EXPECT_EQ(lab_.Tasks(2), tasks);
  EXPECT_GE(Beats(), beats);
  EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
}

INSTANTIATE_TEST_SUITE_P(All, MigrateOnceTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return CgroupVersionName(info.param);
                         });

}  // namespace
}  // namespace ckpt
