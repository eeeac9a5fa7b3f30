// Killing and signalling a whole group, on the fake kernel and on the real one.
#include <signal.h>

#include <string>

#include "absl/strings/match.h"
#include "freezer/contract_fixture.h"
#include "freezer/kill.h"

namespace ckpt::freezer {
namespace {

class KillContractTest : public ContractTest {
 protected:
  absl::StatusOr<v1::KillReport> Kill(Cgroup& group, int signal,
                                      absl::Duration limit = kPlenty) {
    Freezer freezer = FreezerOf(group);
    return KillGroup(freezer, signal,
                     {.deadline = world().clock().Now() + limit},
                     world().signaller());
  }

  void ExpectKilled(Cgroup& group, int processes) {
    const auto report = Kill(group, SIGKILL);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->processes(), processes);
    EXPECT_TRUE(report->empty());
    EXPECT_EQ(report->signal(), SIGKILL);
    EXPECT_EQ(report->cgroup(), group.path());
    EXPECT_TRUE(group.SubtreeProcesses()->empty());
  }
};

TEST_P(KillContractTest, EmptiesAThawedGroupAndThoseBelow) {
  Cgroup& group = world().NewGroup();
  Cgroup& inner = world().NewGroup(&group);
  const pid_t root = world().AddTask(group, 0, /*threads=*/3);
  world().AddTask(group, root);
  world().AddTask(inner);
  ExpectKilled(group, 3);
}

TEST_P(KillContractTest, EmptiesAFrozenGroup) {
  Cgroup& group = world().NewGroup();
  const pid_t root = world().AddTask(group, 0, /*threads=*/100);
  for (int i = 0; i < 10; ++i) world().AddTask(group, root);
  FreezeBefore(group);
  ExpectKilled(group, 11);
}

TEST_P(KillContractTest, EmptiesAGroupWithAFrozenGroupBelow) {
  Cgroup& group = world().NewGroup();
  Cgroup& inner = world().NewGroup(&group);
  world().AddTask(group);
  world().AddTask(inner);
  FreezeBefore(inner);
  ExpectKilled(group, 2);
}

TEST_P(KillContractTest, EmptiesAForkStorm) {
  Cgroup& group = world().NewGroup();
  world().AddForkStorm(group);
  const auto report = Kill(group, SIGKILL);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->empty());
  EXPECT_TRUE(group.Processes()->empty());
}

// Passes signals on, and notes them and who was there at the first one.
class Recorder : public Signaller {
 public:
  Recorder(Cgroup& group, Signaller& signaller)
      : group_(group), signaller_(signaller) {}

  absl::Status Send(pid_t pid, int signal) override {
    if (sent_.empty()) there_ = *group_.SubtreeProcesses();
    sent_.push_back(pid);
    return signaller_.Send(pid, signal);
  }

  const std::vector<pid_t>& sent() const { return sent_; }    // in order
  const std::vector<pid_t>& there() const { return there_; }  // sorted

 private:
  Cgroup& group_;
  Signaller& signaller_;
  std::vector<pid_t> sent_;
  std::vector<pid_t> there_;
};

TEST_P(KillContractTest, EachProcessOfAForkStormIsSignalledOnceAndCounted) {
  Cgroup& group = world().NewGroup();
  Cgroup& inner = world().NewGroup(&group);
  const pid_t one = world().AddTask(group);
  const pid_t two = world().AddTask(inner, 0, /*threads=*/3);
  world().AddForkStorm(group);
  world().AddForkStorm(inner);
  Recorder recorder(group, world().signaller());
  Freezer freezer = FreezerOf(group);

  const auto report =
      KillGroup(freezer, world().CountedSignal(),
                {.deadline = world().clock().Now() + kPlenty}, recorder);

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(recorder.sent(), recorder.there());
  EXPECT_EQ(report->processes(), static_cast<int>(recorder.there().size()));
  EXPECT_GE(report->processes(), 10);
  EXPECT_EQ(world().SignalsReceived(one), 1);
  EXPECT_EQ(world().SignalsReceived(two), 1);
}

// v2 kills without signals, and counts all the same.
TEST_P(KillContractTest, EachProcessOfAForkStormIsKilledAndCounted) {
  Cgroup& group = world().NewGroup();
  Cgroup& inner = world().NewGroup(&group);
  world().AddForkStorm(group);
  world().AddForkStorm(inner);
  FreezeBefore(group);
  const auto there = group.SubtreeProcesses();
  ASSERT_TRUE(there.ok());
  Recorder recorder(group, world().signaller());
  Freezer freezer = FreezerOf(group);

  const auto report =
      KillGroup(freezer, SIGKILL, {.deadline = world().clock().Now() + kPlenty},
                recorder);

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->processes(), static_cast<int>(there->size()));
  EXPECT_GE(report->processes(), 8);
  const bool is_v1 = world().hierarchy() == v1::HIERARCHY_V1;
  EXPECT_EQ(recorder.sent(), is_v1 ? *there : std::vector<pid_t>());
  EXPECT_TRUE(group.SubtreeProcesses()->empty());
  ExpectThawed(group);
}

TEST_P(KillContractTest, SparedProcessGetsNoSignalAndIsNotCounted) {
  Cgroup& group = world().NewGroup();
  const pid_t root = world().AddTask(group, 0, /*threads=*/2);
  const pid_t child = world().AddTask(group, root);
  Freezer freezer = FreezerOf(group);

  const auto report =
      KillGroup(freezer, world().CountedSignal(),
                {.deadline = world().clock().Now() + kPlenty, .spared = root},
                world().signaller());

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->processes(), 1);
  EXPECT_EQ(world().SignalsReceived(root), 0);
  EXPECT_EQ(world().SignalsReceived(child), 1);
}

TEST_P(KillContractTest, EmptyGroupIsKilledAtOnce) {
  ExpectKilled(world().NewGroup(), 0);
}

TEST_P(KillContractTest, SignalReachesEveryProcessOfTheSubtreeOnce) {
  Cgroup& group = world().NewGroup();
  Cgroup& inner = world().NewGroup(&group);
  const pid_t root = world().AddTask(group, 0, /*threads=*/2);
  const std::vector<pid_t> pids = {root, world().AddTask(group, root),
                                   world().AddTask(inner)};

  const auto report = Kill(group, world().CountedSignal());

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->processes(), 3);
  EXPECT_FALSE(report->empty());
  ExpectThawed(group);
  for (const pid_t pid : pids) EXPECT_EQ(world().SignalsReceived(pid), 1);
}

TEST_P(KillContractTest, SignalledFrozenGroupIsGivenBackFrozen) {
  Cgroup& group = world().NewGroup();
  const pid_t pid = world().AddTask(group);
  FreezeBefore(group);

  const auto report = Kill(group, world().CountedSignal());

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->processes(), 1);
  ExpectFrozen(group);
  ASSERT_TRUE(FreezerOf(group).Thaw(Within(kPlenty)).ok());
  EXPECT_EQ(world().SignalsReceived(pid), 1);
}

TEST_P(KillContractTest, RootGroupIsRefused) {
  const auto report = Kill(world().RootGroup(), SIGKILL);
  EXPECT_EQ(report.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(KillContractTest, GroupThatHoldsTheCallerIsRefused) {
  Cgroup& group = world().NewGroup();
  world().AddTask(group);
  const absl::Status status =
      world().RunInside(group, [&] { return Kill(group, SIGKILL).status(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_EQ(group.Processes()->size(), 1u);
}

TEST_P(KillContractTest, VanishedGroupIsNotFound) {
  Cgroup& group = world().NewGroup();
  world().RemoveGroup(group);
  EXPECT_EQ(Kill(group, SIGKILL).status().code(), absl::StatusCode::kNotFound);
}

TEST_P(KillContractTest, FrozenAncestorKeepsV1TasksAliveAndIsNamed) {
  Cgroup& outer = world().NewGroup();
  Cgroup& inner = world().NewGroup(&outer);
  world().AddTask(inner);
  FreezeBefore(outer);

  const auto report = Kill(inner, SIGKILL, kBrief);

  if (world().hierarchy() == v1::HIERARCHY_V2) {
    EXPECT_TRUE(report.ok()) << report.status();
    return;
  }
  EXPECT_EQ(report.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(report.status().message(), outer.path()))
      << report.status();
}

INSTANTIATE_TEST_SUITE_P(Worlds, KillContractTest, testing::ValuesIn(Worlds()),
                         WorldName);

class BlockedKillContractTest : public KillContractTest {};

TEST_P(BlockedKillContractTest, TaskThatCannotBeFrozenIsKilledToo) {
  Cgroup& group = world().NewGroup();
  world().AddTask(group);
  world().AddBlockedTask(group);
  ExpectKilled(group, 2);
}

TEST_P(BlockedKillContractTest, NoProcessIsSignalledWhenTheFreezeFails) {
  Cgroup& group = world().NewGroup();
  const pid_t pid = world().AddTask(group);
  world().AddBlockedTask(group);

  const auto report = Kill(group, world().CountedSignal(), kBrief);

  EXPECT_EQ(report.status().code(), absl::StatusCode::kUnavailable);
  ExpectThawed(group);
  EXPECT_EQ(world().SignalsReceived(pid), 0);
}

TEST_P(BlockedKillContractTest, CancellationEndsItWithNobodySignalled) {
  Cgroup& group = world().NewGroup();
  const pid_t pid = world().AddTask(group);
  world().AddBlockedTask(group);
  Cancellation cancel;
  cancel.Cancel();
  Freezer freezer = FreezerOf(group);
  for (const int signal : {SIGKILL, world().CountedSignal()}) {
    const auto report =
        KillGroup(freezer, signal, {.cancel = &cancel}, world().signaller());
    EXPECT_EQ(report.status().code(), absl::StatusCode::kCancelled)
        << report.status();
    ExpectThawed(group);
  }
  EXPECT_EQ(group.Processes()->size(), 2u);
  EXPECT_EQ(world().SignalsReceived(pid), 0);
}

INSTANTIATE_TEST_SUITE_P(Worlds, BlockedKillContractTest,
                         testing::ValuesIn(BlockedWorlds()), WorldName);

}  // namespace
}  // namespace ckpt::freezer
