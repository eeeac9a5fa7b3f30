// Many tasks, tasks that are born and die, tasks that come into the group and
// leave it: all of them go through freezes and thaws, and none is lost.

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "absl/time/time.h"
#include "base/clock.h"
#include "base/proc.h"
#include "tests/testcases/workload.h"
#include "tests/transparency/cycles.h"

namespace ckpt {
namespace {

using CrowdsTest = BothFreezersTest;

TEST_P(CrowdsTest, ForkStormLosesNobody) {
  ASSERT_NO_FATAL_FAILURE(StartWorkload("fork_storm", {"--workers", "4"}));
  const auto before = ProcFs::Real().Children(workload_pid());
  ASSERT_TRUE(before.ok());
  for (int i = 0; i < 20; ++i) {
    // The root and its workers are there, and perhaps children of those.
    EXPECT_GE(Freeze().threads(), 5);
    const auto frozen = ProcFs::Real().Children(workload_pid());
    ASSERT_TRUE(frozen.ok());
    EXPECT_EQ(*frozen, *before);
    Thaw();
    ExpectUndisturbed();
  }
}

TEST_P(CrowdsTest, FiveThousandThreadsAreCountedAndGoOn) {
  ASSERT_NO_FATAL_FAILURE(StartWorkload("many_threads", {"--threads", "5000"}));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Freeze().threads(), 5000);
    Thaw();
    ExpectUndisturbed();
  }
}

// A group beside the first, and a thread that moves processes between the two.
class CommutersTest : public BothFreezersTest {
 protected:
  void SetUp() override {
    BothFreezersTest::SetUp();
    auto other = TestCgroup::Create(GetParam());
    ASSERT_TRUE(other.ok()) << other.status();
    other_ = *std::move(other);
  }

  // Moves each of `pids` out and in until told to stop.  A thousand moves a
  // second: with the fifty thousand that v1 can do, it never gets so far as to
  // call the group FROZEN.
  void Commute(const std::vector<pid_t>& pids) {
    while (!stop_) {
      for (const TestCgroup* to : {other_.get(), &group()}) {
        for (const pid_t pid : pids) {
          const absl::Status moved = to->Add(pid);
          if (!moved.ok()) failed_ = true;
          ++moves_;
          Clock::Real().Sleep(absl::Milliseconds(1));
        }
      }
    }
  }

  std::unique_ptr<TestCgroup> other_;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> failed_ = false;
  std::atomic<int> moves_ = 0;
};

TEST_P(CommutersTest, TasksThatEnterAndLeaveMeanwhileGoOn) {
  ASSERT_NO_FATAL_FAILURE(StartWorkload("forker"));
  const auto members = ProcFs::Real().Children(workload_pid());
  ASSERT_TRUE(members.ok());
  // The long-lived ones come first: the others may end at any time.
  const std::vector<pid_t> commuters(members->begin(), members->begin() + 4);
  std::thread mover([&] { Commute(commuters); });
  for (int i = 0; i < 20; ++i) {
    const int moves = moves_;
    // By the time that it is read, one more may have come in.
    EXPECT_EQ(RunVerb("freeze").after().state(), v1::FREEZER_STATE_FROZEN);
    Thaw();
    // At least one has moved since the last cycle.
    while (moves_ == moves) std::this_thread::yield();
    ExpectUndisturbed();
  }
  stop_ = true;
  mover.join();
  EXPECT_FALSE(failed_);
  // Nobody is left behind in either group, frozen.
  EXPECT_EQ(*group().State(), CgroupState::kThawed);
  EXPECT_EQ(*other_->State(), CgroupState::kThawed);
  ExpectUndisturbed();
}

INSTANTIATE_TEST_SUITE_P(Freezers, CrowdsTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         VersionCaseName);
INSTANTIATE_TEST_SUITE_P(Freezers, CommutersTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         VersionCaseName);

}  // namespace
}  // namespace ckpt
