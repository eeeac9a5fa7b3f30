// Every workload goes from one node to another and back, running, and finds its
// state whole.  $CKPT_TEST_ROUNDS: how often.
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/node/migration_lab.h"
#include "tests/node/rounds.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

class MigrateJobsTest : public testing::TestWithParam<WorkloadSpec> {
 protected:
  MigrationLab lab_{CgroupVersion::kV2};
};

TEST_P(MigrateJobsTest, GoesThereAndBack) {
  ASSERT_EQ(WhyNoCgroup(CgroupVersion::kV2), "");
  ASSERT_EQ(lab_.SetUp(), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(1), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(2), absl::OkStatus());
  ASSERT_EQ(lab_.StartJob(GetParam()), absl::OkStatus());
  const int rounds = TestRounds(1);
  for (int step = 0; step < 2 * rounds; ++step) {
    const int from = 1 + step % 2;
    const CommandResult moved =
        lab_.Migrate(from, absl::StrCat("m", step), DumpFlags(GetParam().criu));
    ASSERT_EQ(moved.exit_status, 0)
        << step << ": " << moved.err << lab_.Log(1) << lab_.Log(2);
    ASSERT_EQ(lab_.AwaitOneCopy(), 3 - from) << step;
    ASSERT_EQ(lab_.AwaitBeats(), absl::OkStatus()) << step;
  }
}

INSTANTIATE_TEST_SUITE_P(All, MigrateJobsTest,
                         testing::ValuesIn(AllWorkloads().begin(),
                                           AllWorkloads().end()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace ckpt
