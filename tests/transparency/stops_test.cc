// Stopping, waiting and vfork(): what a freeze must not be mistaken for.  The
// controls show that the same observer does see SIGSTOP and SIGCONT.

#include <signal.h>

#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/proc.h"
#include "tests/transparency/cycles.h"
#include "tests/transparency/watching_parent.h"

namespace ckpt {
namespace {

constexpr char kStopped[] = "stopped by 19";
constexpr char kContinued[] = "continued";
constexpr char kKilled[] = "killed by 9";

// Polls until the task's state, as /proc has it, is `state`.
void AwaitTaskState(pid_t pid, char state) {
  const absl::Time deadline = Soon();
  char now = '?';
  while (Clock::Real().Now() < deadline) {
    const auto stat = ProcFs::Real().Stat(pid);
    ASSERT_TRUE(stat.ok()) << stat.status();
    now = stat->state;
    if (now == state) return;
    Clock::Real().Sleep(absl::Milliseconds(1));
  }
  FAIL() << "process " << pid << " is in state " << now << ", not " << state;
}

TEST(WatchingParentTest, SeesStopAndContinue) {
  const WatchingParent parent;
  ::kill(parent.child(), SIGSTOP);
  EXPECT_EQ(parent.NextReport(), kStopped);
  ::kill(parent.child(), SIGCONT);
  EXPECT_EQ(parent.NextReport(), kContinued);
  parent.KillChild();
  EXPECT_EQ(parent.NextReport(), kKilled);
  EXPECT_EQ(parent.NextReport(), "SIGCHLD received 3 times");
}

enum class Members { kChild, kParent, kBoth };

using WaiterCase = std::tuple<Members, CgroupVersion>;

class WaiterTest : public CyclesTest,
                   public testing::WithParamInterface<WaiterCase> {};

TEST_P(WaiterTest, IsToldNothingOfAFreeze) {
  const auto& [members, version] = GetParam();
  ASSERT_NO_FATAL_FAILURE(MakeGroup(version));
  const WatchingParent parent;
  if (members != Members::kParent) {
    ASSERT_EQ(group().Add(parent.child()), absl::OkStatus());
  }
  if (members != Members::kChild) {
    ASSERT_EQ(group().Add(parent.parent()), absl::OkStatus());
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_GE(Freeze().threads(), members == Members::kBoth ? 2 : 1);
    Thaw();
  }
  // A report of before would come first.
  parent.KillChild();
  EXPECT_EQ(parent.NextReport(), kKilled);
  EXPECT_EQ(parent.NextReport(), "SIGCHLD received 1 times");
}

std::string WaiterCaseName(const testing::TestParamInfo<WaiterCase>& info) {
  constexpr const char* kNames[] = {"Child", "Parent", "Both"};
  return absl::StrCat(kNames[static_cast<int>(std::get<0>(info.param))], "_",
                      CgroupVersionName(std::get<1>(info.param)));
}

INSTANTIATE_TEST_SUITE_P(
    Frozen, WaiterTest,
    testing::Combine(testing::Values(Members::kChild, Members::kParent,
                                     Members::kBoth),
                     testing::Values(CgroupVersion::kV1, CgroupVersion::kV2)),
    WaiterCaseName);

class StoppedTaskTest : public BothFreezersTest {
 protected:
  void SetUp() override {
    BothFreezersTest::SetUp();
    ASSERT_EQ(group().Add(parent_.child()), absl::OkStatus());
  }

  void Stop() {
    ::kill(parent_.child(), SIGSTOP);
    EXPECT_EQ(parent_.NextReport(), kStopped);
    AwaitTaskState(parent_.child(), 'T');
  }

  const WatchingParent parent_;
};

TEST_P(StoppedTaskTest, IsStillStoppedAfterwardsAndContinues) {
  Stop();
  for (int i = 0; i < 10; ++i) {
    EXPECT_GE(Freeze().threads(), 1);
    Thaw();
    AwaitTaskState(parent_.child(), 'T');
  }
  ::kill(parent_.child(), SIGCONT);
  EXPECT_EQ(parent_.NextReport(), kContinued);
  AwaitTaskState(parent_.child(), 'S');
}

TEST_P(StoppedTaskTest, IsContinuedByTheThawWhenSigcontCameMeanwhile) {
  Stop();
  Freeze();
  ::kill(parent_.child(), SIGCONT);
  EXPECT_EQ(group().AwaitState(CgroupState::kFrozen, Soon()), absl::OkStatus());
  Thaw();
  EXPECT_EQ(parent_.NextReport(), kContinued);
  AwaitTaskState(parent_.child(), 'S');
}

TEST_P(StoppedTaskTest, IsStoppedByTheThawWhenSigstopCameMeanwhile) {
  Freeze();
  ::kill(parent_.child(), SIGSTOP);
  EXPECT_EQ(group().AwaitState(CgroupState::kFrozen, Soon()), absl::OkStatus());
  Thaw();
  EXPECT_EQ(parent_.NextReport(), kStopped);
  AwaitTaskState(parent_.child(), 'T');
}

using VforkTest = BothFreezersTest;

TEST_P(VforkTest, ParentWaitsForItsChildAsBefore) {
  ASSERT_NO_FATAL_FAILURE(StartWorkload("vfork_parent"));
  for (int i = 0; i < 20; ++i) {
    EXPECT_GE(Freeze().threads(), 1);
    Thaw();
    ExpectUndisturbed();
  }
}

INSTANTIATE_TEST_SUITE_P(Freezers, StoppedTaskTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         VersionCaseName);
INSTANTIATE_TEST_SUITE_P(Freezers, VforkTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         VersionCaseName);

}  // namespace
}  // namespace ckpt
