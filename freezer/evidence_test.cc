#include "freezer/evidence.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/fake_clock.h"
#include "freezer/fake_cgroup.h"
#include "freezer/kernel_names.h"
#include "gtest/gtest.h"

namespace ckpt::freezer {
namespace {

class EvidenceTest : public testing::TestWithParam<v1::Hierarchy> {
 protected:
  EvidenceTest()
      : kernel_(GetParam(), clock_), group_(kernel_.MakeGroup("/job")) {}

  bool is_v1() const { return GetParam() == v1::HIERARCHY_V1; }

  // A thread that stays as it is when the group is asked to freeze.
  pid_t Add(char state, const std::string& wchan) {
    return kernel_.AddProcess(
        "/job", {.freeze = {.never = true}, .state = state, .wchan = wchan});
  }

  pid_t AddFrozen() { return kernel_.AddProcess("/job", {}); }

  void RequestFreeze() {
    ASSERT_TRUE(is_v1() ? group_->Write(kV1StateFile, kV1Frozen).ok()
                        : group_->Write(kV2FreezeFile, kV2Freeze).ok());
  }

  std::vector<v1::TaskInfo> FindBlockers() {
    return BlockerWatch(*group_, kernel_.proc(), clock_).FindBlockers();
  }

  std::vector<pid_t> BlockerTids() {
    RequestFreeze();
    std::vector<pid_t> tids;
    for (const v1::TaskInfo& task : FindBlockers()) {
      tids.push_back(task.tid());
    }
    return tids;
  }

  FakeClock clock_;
  FakeKernel kernel_;
  const std::unique_ptr<Cgroup> group_;
};

using Tids = std::vector<pid_t>;

TEST_P(EvidenceTest, FrozenThreadsAreNoBlockers) {
  AddFrozen();
  AddFrozen();
  EXPECT_EQ(BlockerTids(), Tids());
}

TEST_P(EvidenceTest, RunningThreadIsABlocker) {
  AddFrozen();
  const pid_t pid = Add('R', "0");
  EXPECT_EQ(BlockerTids(), Tids{pid});
}

TEST_P(EvidenceTest, SleeperOutsideTheFreezerIsABlocker) {
  AddFrozen();
  const pid_t pid = Add('S', "request_wait_answer");
  EXPECT_EQ(BlockerTids(), Tids{pid});
}

TEST_P(EvidenceTest, UninterruptibleWaitIsABlockerAmongFrozenThreads) {
  AddFrozen();
  const pid_t pid = Add('D', "request_wait_answer");
  EXPECT_EQ(BlockerTids(), Tids{pid});
}

// v1 leaves a thread in these waits where it is, and counts it as frozen; v2
// wakes all.
TEST_P(EvidenceTest, FreezableWaitsAreBlockersOnV2Only) {
  Tids waiting;
  for (const char* wchan :
       {"futex_do_wait", "hrtimer_nanosleep", "do_sigtimedwait.isra.0",
        "unix_stream_read_generic", "do_signal_stop", "ptrace_stop"}) {
    waiting.push_back(Add('D', wchan));
  }
  const pid_t pid = Add('D', "request_wait_answer");
  waiting.push_back(pid);
  EXPECT_EQ(BlockerTids(), is_v1() ? Tids{pid} : waiting);
}

TEST_P(EvidenceTest, ParentInVforkIsNoBlocker) {
  Add('D', "kernel_clone");
  const pid_t pid = Add('R', "0");
  EXPECT_EQ(BlockerTids(), Tids{pid});
}

// v1 shows them in state D when it has frozen them.
TEST_P(EvidenceTest, StoppedAndTracedThreadsAreBlockersOnV1Only) {
  const Tids all = {Add('T', "do_signal_stop"), Add('t', "ptrace_stop"),
                    Add('R', "0")};
  EXPECT_EQ(BlockerTids(), is_v1() ? all : Tids{all.back()});
}

TEST_P(EvidenceTest, ThreadThatFreezesBetweenTheLooksIsNoBlocker) {
  kernel_.AddProcess(
      "/job",
      {.freeze = {.after = absl::Milliseconds(1)}, .state = 'R', .wchan = "0"});
  RequestFreeze();
  // The clock moves with every look into /proc.
  const auto look = kernel_.proc().before_look;
  kernel_.proc().before_look = [&] {
    clock_.Sleep(absl::Microseconds(600));
    look();
  };
  EXPECT_TRUE(FindBlockers().empty());
}

TEST_P(EvidenceTest, BlockerComesWithWhatTheKernelTellsOfIt) {
  const pid_t pid = kernel_.AddProcess("/job", {.threads = 1,
                                                .comm = "reader",
                                                .freeze = {.never = true},
                                                .state = 'S',
                                                .wchan = "fuse_wait"});
  FakeTask& task = *kernel_.proc().Find(pid);
  task.files["syscall"] = absl::StrCat(
      SYS_read, " 0x3 0x1000 0x0 0x0 0x0 0x0 0x7ffc00000000 0x7f0000000000\n");
  task.files["sched"] =
      "reader (1, #threads: 1)\n---\n"
      "se.exec_start                                :       1743178.366831\n"
      "se.vruntime                                  :         31221.412542\n";
  // The one who asks.
  kernel_.proc().AddProcess(::gettid(), 1, "test").files["sched"] =
      "se.exec_start : 1744678.366831\n";
  task.files["stack"] =
      "[<0>] a\n[<0>] b\n[<0>] c\n[<0>] d\n[<0>] e\n[<0>] f\n[<0>] g\n[<0>] h\n"
      "[<0>] i\n";
  RequestFreeze();

  const auto blockers = FindBlockers();

  ASSERT_EQ(blockers.size(), 1u);
  EXPECT_EQ(blockers[0].pid(), pid);
  EXPECT_EQ(blockers[0].comm(), "reader");
  EXPECT_EQ(blockers[0].state(), "S");
  EXPECT_EQ(blockers[0].wchan(), "fuse_wait");
  EXPECT_TRUE(absl::StrContains(blockers[0].syscall(), " 0x3 0x1000 "));
  EXPECT_EQ(blockers[0].syscall_name(), "read");
  EXPECT_DOUBLE_EQ(blockers[0].asleep_seconds(), 1.5);
  ASSERT_EQ(blockers[0].stack_size(), 8);
  EXPECT_EQ(blockers[0].stack(7), "[<0>] h");
}

TEST_P(EvidenceTest, RunningBlockerIsNotAsleep) {
  const pid_t pid = Add('R', "0");
  kernel_.proc().Find(pid)->files["sched"] = "se.exec_start : 1.5\n";
  kernel_.proc().AddProcess(::gettid(), 1, "test").files["sched"] =
      "se.exec_start : 9.5\n";
  RequestFreeze();
  const auto blockers = FindBlockers();
  ASSERT_EQ(blockers.size(), 1u);
  EXPECT_EQ(blockers[0].asleep_seconds(), 0);
  EXPECT_EQ(blockers[0].syscall_name(), "");
}

TEST_P(EvidenceTest, BlockerIsBlockedSinceTheFirstLookThatSawIt) {
  const pid_t early = Add('R', "0");
  RequestFreeze();
  BlockerWatch watch(*group_, kernel_.proc(), clock_);
  watch.Look();
  clock_.Sleep(absl::Seconds(3));
  const pid_t late = Add('R', "0");

  const auto blockers = watch.FindBlockers();

  ASSERT_EQ(blockers.size(), 2u);
  EXPECT_EQ(blockers[0].tid(), early);
  EXPECT_DOUBLE_EQ(blockers[0].blocked_seconds(), 3);
  EXPECT_EQ(blockers[1].tid(), late);
  EXPECT_DOUBLE_EQ(blockers[1].blocked_seconds(), 0);
}

TEST_P(EvidenceTest, BlockerInAGroupBelowComesWithItsGroup) {
  const auto inner = kernel_.MakeGroup("/job/inner");
  const auto innermost = kernel_.MakeGroup("/job/inner/most");
  AddFrozen();
  const pid_t pid = kernel_.AddProcess(
      "/job/inner/most",
      {.freeze = {.never = true}, .state = 'R', .wchan = "0"});
  RequestFreeze();
  const auto blockers = FindBlockers();
  ASSERT_EQ(blockers.size(), 1u);
  EXPECT_EQ(blockers[0].tid(), pid);
  EXPECT_EQ(blockers[0].cgroup(), innermost->path());
}

TEST_P(EvidenceTest, TasksOfAThawedGroupAreNotFrozenWhateverTheyWaitIn) {
  Add('D', "request_wait_answer");
  Add('S', "get_signal");
  for (const v1::TaskInfo& task :
       DescribeTasks(*group_, kernel_.proc(), v1::FREEZER_STATE_THAWED)) {
    EXPECT_FALSE(task.frozen());
  }
}

TEST_P(EvidenceTest, TasksOfAFreezingGroupAndThoseBelowTellWhoIsFrozen) {
  const auto inner = kernel_.MakeGroup("/job/inner");
  const pid_t frozen = AddFrozen();
  const pid_t running = Add('R', "0");
  const pid_t below = kernel_.AddProcess("/job/inner", {});
  RequestFreeze();

  const auto tasks =
      DescribeTasks(*group_, kernel_.proc(), v1::FREEZER_STATE_FREEZING);

  ASSERT_EQ(tasks.size(), 3u);
  EXPECT_EQ(tasks[0].tid(), frozen);
  EXPECT_TRUE(tasks[0].frozen());
  EXPECT_EQ(tasks[0].cgroup(), "");
  EXPECT_EQ(tasks[1].tid(), running);
  EXPECT_FALSE(tasks[1].frozen());
  EXPECT_EQ(tasks[2].tid(), below);
  EXPECT_TRUE(tasks[2].frozen());
  EXPECT_EQ(tasks[2].cgroup(), inner->path());
}

// On v1 it shows D, as frozen ones do.
TEST_P(EvidenceTest, UninterruptibleWaitInAFreezingGroupIsNotCalledFrozen) {
  Add('D', "request_wait_answer");
  RequestFreeze();
  const auto tasks =
      DescribeTasks(*group_, kernel_.proc(), v1::FREEZER_STATE_FREEZING);
  ASSERT_EQ(tasks.size(), 1u);
  EXPECT_FALSE(tasks[0].frozen());
}

// As who is not root sees them: no wchan.
TEST_P(EvidenceTest, TasksOfAFrozenGroupAreFrozenThoughTheirWaitIsNotTold) {
  AddFrozen();
  RequestFreeze();
  kernel_.proc().before_look = nullptr;
  const pid_t pid = group_->Threads()->front();
  kernel_.proc().Find(pid)->files["wchan"] = "0";
  const auto tasks =
      DescribeTasks(*group_, kernel_.proc(), v1::FREEZER_STATE_FROZEN);
  ASSERT_EQ(tasks.size(), 1u);
  EXPECT_TRUE(tasks[0].frozen());
}

TEST_P(EvidenceTest, EndedThreadsAreNoBlockers) {
  const pid_t pid = Add('R', "0");
  kernel_.proc().Find(pid)->stat.state = 'Z';
  kernel_.Kill(pid);
  EXPECT_EQ(BlockerTids(), Tids());
}

TEST_P(EvidenceTest, VanishedGroupHasNoBlockers) {
  kernel_.RemoveGroup("/job");
  EXPECT_TRUE(FindBlockers().empty());
}

TEST_P(EvidenceTest, DescriptionOfAGoneThreadIsNotFound) {
  EXPECT_EQ(DescribeThread(kernel_.proc(), 4).status().code(),
            absl::StatusCode::kNotFound);
}

INSTANTIATE_TEST_SUITE_P(Hierarchies, EvidenceTest,
                         testing::Values(v1::HIERARCHY_V1, v1::HIERARCHY_V2),
                         [](const auto& info) {
                           return std::string(HierarchyName(info.param));
                         });

}  // namespace
}  // namespace ckpt::freezer
