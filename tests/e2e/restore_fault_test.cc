// ckpt or CRIU is killed at every named point of a restore: nothing of the job
// is left running, the image is as it was, and the next restore works.

#include <signal.h>

#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/e2e/running_ckpt.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workload.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

// Two seconds on a machine that has time.
constexpr absl::Duration kRecovery = absl::Minutes(1);

enum class Victim { kCkpt, kCriu };

using Case = std::tuple<std::string, Victim, CgroupVersion>;

class RestoreFaultTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    BecomeReaper();
    auto group = TestCgroup::Create(std::get<2>(GetParam()));
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
    Job::Options options;
    options.argv = WorkloadNamed("pipes").CommandLine(status_path_);
    options.cgroups = {group_.get()};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    ASSERT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
    const auto tree = job->Tree();
    ASSERT_TRUE(tree.ok());
    const CommandResult dump =
        ckpt_.Run({"dump", "--cgroup", group_->path(), "--image", "image"});
    ASSERT_EQ(dump.exit_status, 0) << dump.err;
    ASSERT_EQ(WaitUntilGone(*tree, Soon()), absl::OkStatus());
  }

  void ExpectNothingRunsBy(absl::Time deadline) {
    Clock& clock = Clock::Real();
    while (!group_->Processes().empty() && clock.Now() < deadline) {
      ReapAll();
      clock.Sleep(absl::Milliseconds(2));
    }
    EXPECT_TRUE(group_->Processes().empty());
    ReapAll();
  }

  void ExpectRestoreWorks() {
    const CommandResult verify = ckpt_.Run({"verify", "image"});
    EXPECT_EQ(verify.exit_status, 0) << verify.err;
    CommandResult restore;
    const absl::Time deadline = Clock::Real().Now() + kRecovery;
    do {  // UNAVAILABLE while the guardian holds the group
      restore = ckpt_.Run({"restore", "image"});
    } while (restore.exit_status == 14 && Clock::Real().Now() < deadline);
    ASSERT_EQ(restore.exit_status, 0) << restore.err;
    EXPECT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
  }

  CkptRunner ckpt_;
  const std::string status_path_ = ckpt_.dir().File("status");
  std::unique_ptr<TestCgroup> group_;
};

TEST_P(RestoreFaultTest, LeavesNothingRunning) {
  const auto& [point, victim, version] = GetParam();
  RunningCkpt restore(
      ckpt_.CommandLine({"restore", "image"}),
      absl::StrCat(point, victim == Victim::kCkpt ? "=kill" : "=stop"));
  if (victim == Victim::kCriu) {
    ASSERT_TRUE(restore.WaitUntilStopped(Soon()));
    ASSERT_TRUE(restore.KillCriu());
    restore.Continue();
  }
  const int status = restore.Wait();
  EXPECT_NE(status, 0) << restore.ReadErrors();
  ExpectNothingRunsBy(Clock::Real().Now() + kRecovery);
  ExpectRestoreWorks();
}

std::string CaseName(const testing::TestParamInfo<Case>& info) {
  const auto& [point, victim, version] = info.param;
  return absl::StrCat(absl::StrReplaceAll(point, {{".", "_"}}), "_",
                      victim == Victim::kCkpt ? "kill_ckpt" : "kill_criu", "_",
                      CgroupVersionName(version));
}

INSTANTIATE_TEST_SUITE_P(
    All, RestoreFaultTest,
    testing::Combine(testing::Values("restore.before_criu", "restore.built",
                                     "restore.before_release"),
                     testing::Values(Victim::kCkpt, Victim::kCriu),
                     testing::Values(CgroupVersion::kV1, CgroupVersion::kV2)),
    CaseName);

}  // namespace
}  // namespace ckpt
