// ckpt is killed at every named point of a freeze: either its whole report is
// printed and the group is frozen, or nothing is printed and the group is as it
// was.  And if its guardian is killed with it, `ckpt recover` brings the group
// back, of a freeze and of a dump.

#include <signal.h>

#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/match.h"
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

enum class Origin { kThawed, kFrozen };

using PointCase = std::tuple<std::string, CgroupVersion, Origin>;

class FreezeFaultTest : public testing::TestWithParam<PointCase> {
 protected:
  void SetUp() override {
    BecomeReaper();
    auto group = TestCgroup::Create(std::get<CgroupVersion>(GetParam()));
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
    Job::Options options;
    options.argv = WorkloadNamed("threads").CommandLine(status_path_);
    options.cgroups = {group_.get()};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    ASSERT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
    if (origin() == Origin::kFrozen) {
      ASSERT_EQ(Ckpt({"freeze"}).exit_status, 0);
    }
  }

  static const std::string& point() { return std::get<0>(GetParam()); }
  static Origin origin() { return std::get<Origin>(GetParam()); }

  CommandResult Ckpt(std::vector<std::string> words) {
    words.insert(words.end(), {"--cgroup", group_->path()});
    return ckpt_.Run(std::move(words));
  }

  RunningCkpt Start(std::vector<std::string> words, const char* action) {
    words.insert(words.end(), {"--cgroup", group_->path()});
    return RunningCkpt(ckpt_.CommandLine(std::move(words)),
                       absl::StrCat(point(), action));
  }

  // The group has its former state, and the job runs, once it is thawed.
  void ExpectGivenBack() {
    EXPECT_EQ(
        group_->AwaitState(origin() == Origin::kFrozen ? CgroupState::kFrozen
                                                       : CgroupState::kThawed,
                           Soon()),
        absl::OkStatus());
    if (origin() == Origin::kFrozen) {
      CommandResult thaw;
      do {  // UNAVAILABLE while the guardian holds the group
        thaw = Ckpt({"thaw"});
      } while (thaw.exit_status == 14);
      ASSERT_EQ(thaw.exit_status, 0) << thaw.err;
    }
    EXPECT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
  }

  // Kills ckpt and its guardian where ckpt stands still.
  void KillBoth(RunningCkpt& running) {
    ASSERT_TRUE(running.WaitUntilStopped(Soon())) << running.ReadErrors();
    if (!running.KillGuardian()) GTEST_LOG_(INFO) << "no guardian yet";
    running.Signal(SIGKILL);
    ASSERT_EQ(running.Wait(), 128 + SIGKILL);
  }

  // The group is in use as long as a CRIU without ckpt works on it.
  void RecoverAll() {
    CommandResult recovered;
    do {
      recovered = ckpt_.Run({"recover"});
      ASSERT_EQ(recovered.exit_status, 0) << recovered.err;
    } while (absl::StrContains(Ckpt({"status"}).out, "in use by"));
    // It may have ended between the two.
    EXPECT_EQ(ckpt_.Run({"recover"}).exit_status, 0);
    EXPECT_EQ(ckpt_.Run({"recover"}).out, "nothing to recover\n");
  }

  CkptRunner ckpt_;
  const std::string status_path_ = ckpt_.dir().File("status");
  std::unique_ptr<TestCgroup> group_;
};

std::string PointName(const testing::TestParamInfo<PointCase>& info) {
  const auto& [point, version, origin] = info.param;
  return absl::StrCat(absl::StrReplaceAll(point, {{".", "_"}}), "_",
                      CgroupVersionName(version), "_",
                      origin == Origin::kFrozen ? "frozen" : "thawed");
}

TEST_P(FreezeFaultTest, KilledItPrintsNothingAndGivesTheGroupBack) {
  RunningCkpt freeze = Start({"freeze", "--json"}, "=kill");
  EXPECT_EQ(freeze.Wait(), 128 + SIGKILL) << freeze.ReadErrors();
  EXPECT_EQ(freeze.ReadOutput(), "");
  ExpectGivenBack();
}

TEST_P(FreezeFaultTest, KilledWithItsGuardianItIsRecovered) {
  RunningCkpt freeze = Start({"freeze"}, "=stop");
  ASSERT_NO_FATAL_FAILURE(KillBoth(freeze));
  EXPECT_TRUE(absl::StrContains(Ckpt({"status"}).out, "killed in"));
  RecoverAll();
  ExpectGivenBack();
}

TEST_P(FreezeFaultTest, KilledWithItsGuardianTheNextVerbRecoversIt) {
  RunningCkpt freeze = Start({"freeze"}, "=stop");
  ASSERT_NO_FATAL_FAILURE(KillBoth(freeze));
  const CommandResult again = Ckpt({"freeze"});
  EXPECT_EQ(again.exit_status, 0);
  EXPECT_TRUE(absl::StrContains(again.err, group_->path())) << again.err;
  EXPECT_EQ(group_->AwaitState(CgroupState::kFrozen, Soon()), absl::OkStatus());
  EXPECT_EQ(Ckpt({"thaw"}).exit_status, 0);
}

INSTANTIATE_TEST_SUITE_P(
    All, FreezeFaultTest,
    testing::Combine(testing::Values("freeze.held", "freeze.guarded",
                                     "freeze.frozen", "handover.half"),
                     testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                     testing::Values(Origin::kThawed, Origin::kFrozen)),
    PointName);

class DumpDoubleKillTest : public FreezeFaultTest {};

TEST_P(DumpDoubleKillTest, KilledWithItsGuardianItIsRecovered) {
  RunningCkpt dump =
      Start({"dump", "--image", "image", "--leave-running"}, "=stop");
  ASSERT_NO_FATAL_FAILURE(KillBoth(dump));
  RecoverAll();
  ExpectGivenBack();
}

TEST_P(DumpDoubleKillTest, MeanwhileTheStateIsCheckpointing) {
  RunningCkpt dump =
      Start({"dump", "--image", "image", "--leave-running"}, "=stop");
  ASSERT_TRUE(dump.WaitUntilStopped(Soon()));
  const CommandResult status = Ckpt({"status"});
  EXPECT_TRUE(absl::StrContains(status.out, "CHECKPOINTING")) << status.out;
  EXPECT_TRUE(absl::StrContains(status.out, absl::StrCat(dump.pid())))
      << status.out;
  const CommandResult thaw = Ckpt({"thaw"});
  EXPECT_EQ(thaw.exit_status, 14) << thaw.err;
  EXPECT_TRUE(absl::StrContains(thaw.err, "which checkpoints it")) << thaw.err;
  dump.Continue();
  EXPECT_EQ(dump.Wait(), 0) << dump.ReadErrors();
  EXPECT_FALSE(absl::StrContains(Ckpt({"status"}).out, "CHECKPOINTING"));
  ExpectGivenBack();
}

INSTANTIATE_TEST_SUITE_P(
    All, DumpDoubleKillTest,
    testing::Combine(testing::Values("dump.before_freeze", "dump.frozen",
                                     "dump.verified", "dump.post_dump"),
                     testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                     testing::Values(Origin::kThawed, Origin::kFrozen)),
    PointName);

}  // namespace
}  // namespace ckpt
