// What every freezer does when a freeze cannot be had: evidence, the way back,
// cancellation, somebody else's thaw.
#include <signal.h>

#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "freezer/contract_fixture.h"
#include "freezer/frozen_scope.h"

namespace ckpt::freezer {
namespace {

class BlockedContractTest : public ContractTest {
 protected:
  // The report that a failed freeze carries.
  static v1::FreezeReport ReportOf(const absl::Status& status) {
    v1::FreezeReport report;
    const auto payload = status.GetPayload(kReportUrl);
    EXPECT_TRUE(payload.has_value()) << status;
    if (payload.has_value()) {
      EXPECT_TRUE(report.ParseFromString(std::string(*payload)));
    }
    return report;
  }
};

TEST_P(BlockedContractTest, FreezeIsUnavailableAndNamesTheBlockerAlone) {
  Cgroup& group = world().NewGroup();
  world().AddTask(group, 0, /*threads=*/3);
  const pid_t blocker = world().AddBlockedTask(group);
  world().AddTask(group);
  Freezer freezer = FreezerOf(group);

  const auto result = freezer.Freeze(Within(kBrief));

  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  const v1::FreezeReport report = ReportOf(result.status());
  ASSERT_EQ(report.blockers_size(), 1) << result.status();
  EXPECT_EQ(report.blockers(0).tid(), blocker);
  EXPECT_EQ(report.blockers(0).pid(), blocker);
  EXPECT_EQ(report.blockers(0).comm(), "blocked-task");
  EXPECT_EQ(report.blockers(0).wchan(), world().BlockedIn());
  EXPECT_TRUE(absl::StrContains(result.status().message(),
                                absl::StrCat(blocker, " (blocked-task")))
      << result.status();
}

TEST_P(BlockedContractTest, GroupIsThawedAgainAfterAFailedFreeze) {
  Cgroup& group = world().NewGroup();
  world().AddTask(group);
  world().AddBlockedTask(group);
  Freezer freezer = FreezerOf(group);

  const auto result = freezer.Freeze(Within(kBrief));

  ASSERT_FALSE(result.ok());
  ExpectThawed(group);
  EXPECT_EQ(ReportOf(result.status()).after().state(),
            v1::FREEZER_STATE_THAWED);
}

TEST_P(BlockedContractTest, FailedFreezeKeepsARequestThatWasThereBefore) {
  Cgroup& group = world().NewGroup();
  world().AddBlockedTask(group);
  Freezer freezer = FreezerOf(group);
  ASSERT_TRUE(freezer.WriteRequest(true).ok());
  ExpectState(group, v1::FREEZER_STATE_FREEZING, /*self_freezing=*/true);

  const auto result = freezer.Freeze(Within(kBrief));

  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  ExpectState(group, v1::FREEZER_STATE_FREEZING, /*self_freezing=*/true);
}

TEST_P(BlockedContractTest, FreezeSucceedsOnceTheTaskIsUnblocked) {
  Cgroup& group = world().NewGroup();
  const pid_t blocker = world().AddBlockedTask(group);
  Freezer freezer = FreezerOf(group);
  ASSERT_FALSE(freezer.Freeze(Within(kBrief)).ok());

  world().Unblock(blocker);

  const auto report = freezer.Freeze(Within(kPlenty));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->threads(), ThreadsOf({blocker}));
}

TEST_P(BlockedContractTest, FreezeSucceedsOnceTheTaskIsKilled) {
  Cgroup& group = world().NewGroup();
  const pid_t other = world().AddTask(group);
  const pid_t blocker = world().AddBlockedTask(group);
  Freezer freezer = FreezerOf(group);
  ASSERT_FALSE(freezer.Freeze(Within(kBrief)).ok());

  world().KillTask(blocker);

  const auto report = freezer.Freeze(Within(kPlenty));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->threads(), ThreadsOf({other}));
}

TEST_P(BlockedContractTest, TaskThatIsUnblockedMeanwhileIsWaitedFor) {
  Cgroup& group = world().NewGroup();
  const pid_t blocker = world().AddBlockedTask(group);
  Freezer freezer = FreezerOf(group);
  bool unblocked = false;
  const auto meanwhile = world().Meanwhile([&] {
    if (!unblocked) world().Unblock(blocker);
    unblocked = true;
  });

  const auto report = freezer.Freeze(Within(kPlenty));

  EXPECT_TRUE(report.ok()) << report.status();
}

TEST_P(BlockedContractTest, GroupIsFreezingUntilTheTaskFreezes) {
  Cgroup& outer = world().NewGroup();
  Cgroup& inner = world().NewGroup(&outer);
  world().AddBlockedTask(inner);

  ASSERT_TRUE(FreezerOf(outer).WriteRequest(true).ok());

  ExpectState(outer, v1::FREEZER_STATE_FREEZING, /*self_freezing=*/true);
  ExpectState(inner, v1::FREEZER_STATE_FREEZING, /*self_freezing=*/false);
}

// Linux 6.18 calls a v2 group frozen as soon as all groups below it are.
TEST_P(BlockedContractTest, FrozenGroupsBelowDoNotHideTheBlocker) {
  Cgroup& group = world().NewGroup();
  world().NewGroup(&group);
  const pid_t blocker = world().AddBlockedTask(group);
  Freezer freezer = FreezerOf(group);

  const auto result = freezer.Freeze(Within(kBrief));

  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  const v1::FreezeReport report = ReportOf(result.status());
  ASSERT_EQ(report.blockers_size(), 1) << result.status();
  EXPECT_EQ(report.blockers(0).tid(), blocker);
}

TEST_P(BlockedContractTest, BlockerInAGroupBelowIsNamedWithItsGroup) {
  Cgroup& group = world().NewGroup();
  Cgroup& inner = world().NewGroup(&group);
  world().AddTask(group);
  world().AddTask(inner);
  const pid_t blocker = world().AddBlockedTask(inner);
  Freezer freezer = FreezerOf(group);

  const auto result = freezer.Freeze(Within(kBrief));

  const v1::FreezeReport report = ReportOf(result.status());
  ASSERT_EQ(report.blockers_size(), 1) << result.status();
  EXPECT_EQ(report.blockers(0).tid(), blocker);
  EXPECT_EQ(report.blockers(0).cgroup(), inner.path());
}

// Linux 6.18 calls a v2 group frozen when its own tasks freeze before those of
// the groups below.
TEST_P(BlockedContractTest, GroupIsFreezingUntilTasksOfGroupsBelowAreFrozen) {
  Cgroup& group = world().NewGroup();
  Cgroup& inner = world().NewGroup(&group);
  world().AddTask(group);
  const pid_t blocker = world().AddBlockedTask(inner);
  FreezeOptions options = Within(kBrief);
  options.on_busy = v1::ON_BUSY_KEEP;

  const auto result = FreezerOf(group).Freeze(options);

  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  ExpectState(group, v1::FREEZER_STATE_FREEZING, /*self_freezing=*/true);
  world().Unblock(blocker);
  FreezeBefore(group);
  ExpectFrozen(group);
}

TEST_P(BlockedContractTest, ReportHasEveryThreadAndTellsWhichIsFrozen) {
  Cgroup& group = world().NewGroup();
  const pid_t one = world().AddTask(group, 0, /*threads=*/3);
  const pid_t blocker = world().AddBlockedTask(group);
  const pid_t below = world().AddTask(world().NewGroup(&group));
  Freezer freezer = FreezerOf(group);

  const auto result = freezer.Freeze(Within(kBrief));

  const v1::FreezeReport report = ReportOf(result.status());
  EXPECT_EQ(report.tasks_size(), ThreadsOf({one, blocker, below}));
  for (const v1::TaskInfo& task : report.tasks()) {
    EXPECT_EQ(task.frozen(), task.tid() != blocker) << task.ShortDebugString();
    EXPECT_EQ(task.cgroup().empty(), task.pid() != below);
  }
}

TEST_P(BlockedContractTest, BlockerComesWithTheTimeThatItHasBeenOne) {
  Cgroup& group = world().NewGroup();
  world().AddBlockedTask(group);
  const auto result = FreezerOf(group).Freeze(Within(kBrief));
  const v1::FreezeReport report = ReportOf(result.status());
  ASSERT_EQ(report.blockers_size(), 1) << result.status();
  EXPECT_GT(report.blockers(0).blocked_seconds(), 0);
}

TEST_P(BlockedContractTest, CancellationEndsTheWaitAndThawsTheGroup) {
  Cgroup& group = world().NewGroup();
  world().AddBlockedTask(group);
  Freezer freezer = FreezerOf(group);
  Cancellation cancel;
  FreezeOptions options = Within(kPlenty);
  options.cancel = &cancel;
  const auto meanwhile = world().Meanwhile([&] { cancel.Cancel(); });

  const auto result = freezer.Freeze(options);

  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
  ExpectThawed(group);
}

TEST_P(BlockedContractTest, ThawBySomebodyElseAbortsTheFreeze) {
  Cgroup& group = world().NewGroup();
  world().AddBlockedTask(group);
  Freezer freezer = FreezerOf(group);
  const auto meanwhile =
      world().Meanwhile([&] { world().ThawFromOutside(group); });

  const auto result = freezer.Freeze(Within(kPlenty));

  EXPECT_EQ(result.status().code(), absl::StatusCode::kAborted)
      << result.status();
  ExpectThawed(group);
}

TEST_P(BlockedContractTest, ScopeIsNotEnteredAndLeavesNothing) {
  Cgroup& group = world().NewGroup();
  world().AddBlockedTask(group);
  Freezer freezer = FreezerOf(group);
  const auto scope = FrozenScope::Enter(freezer, Within(kBrief));
  EXPECT_EQ(scope.status().code(), absl::StatusCode::kUnavailable);
  ExpectThawed(group);
}

// --- Left FREEZING, and the three ends of that ------------------------------

class KeptFreezeContractTest : public BlockedContractTest {
 protected:
  void SetUp() override {
    BlockedContractTest::SetUp();
    if (IsSkipped()) return;
    group_ = &world().NewGroup();
    other_ = world().AddTask(*group_);
    blocker_ = world().AddBlockedTask(*group_);
    FreezeOptions options = Within(kBrief);
    options.on_busy = v1::ON_BUSY_KEEP;
    kept_ = FreezerOf(*group_).Freeze(options).status();
  }

  // Looks, and writes nothing.
  void ExpectToBecomeFrozen() {
    const absl::Time deadline = world().clock().Now() + kPlenty;
    v1::CgroupStatus status = StatusOf(*group_);
    while (status.state() != v1::FREEZER_STATE_FROZEN &&
           world().clock().Now() < deadline) {
      ASSERT_TRUE(group_->WaitForChange(absl::Milliseconds(1), nullptr).ok());
      status = StatusOf(*group_);
    }
    // Not read once more: a killed task is frozen for a moment, leaves, and
    // ends.
    EXPECT_EQ(status.state(), v1::FREEZER_STATE_FROZEN);
    EXPECT_TRUE(status.self_freezing());
  }

  Cgroup* group_ = nullptr;
  pid_t other_ = 0;
  pid_t blocker_ = 0;
  absl::Status kept_;
};

TEST_P(KeptFreezeContractTest, IsUnavailableWithTheBlockersAndTheWaysOut) {
  EXPECT_EQ(kept_.code(), absl::StatusCode::kUnavailable) << kept_;
  ExpectState(*group_, v1::FREEZER_STATE_FREEZING, /*self_freezing=*/true);
  const v1::FreezeReport report = ReportOf(kept_);
  EXPECT_EQ(report.before().state(), v1::FREEZER_STATE_THAWED);
  EXPECT_EQ(report.after().state(), v1::FREEZER_STATE_FREEZING);
  EXPECT_TRUE(report.after().self_freezing());
  ASSERT_EQ(report.blockers_size(), 1) << kept_;
  EXPECT_EQ(report.blockers(0).tid(), blocker_);
  for (const char* part :
       {"EBUSY", "left FREEZING", "ckpt freeze", "ckpt thaw"}) {
    EXPECT_TRUE(absl::StrContains(kept_.message(), part)) << part << kept_;
  }
}

TEST_P(KeptFreezeContractTest, RetryIsBusyAgainAndThenSucceeds) {
  FreezeOptions options = Within(kBrief);
  options.on_busy = v1::ON_BUSY_KEEP;
  EXPECT_EQ(FreezerOf(*group_).Freeze(options).status().code(),
            absl::StatusCode::kUnavailable);
  world().Unblock(blocker_);

  const auto report = FreezerOf(*group_).Freeze(Within(kPlenty));

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->threads(), ThreadsOf({blocker_, other_}));
  ExpectFrozen(*group_);
}

TEST_P(KeptFreezeContractTest, ThawCancelsIt) {
  const auto report = FreezerOf(*group_).Thaw(Within(kPlenty));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->before().state(), v1::FREEZER_STATE_FREEZING);
  ExpectThawed(*group_);
}

// v2 lets it die; v1 freezes it on its way out, and it dies when thawed.
TEST_P(KeptFreezeContractTest, BecomesFrozenWhenTheBlockerIsKilled) {
  ASSERT_TRUE(world().signaller().Send(blocker_, SIGKILL).ok());
  ExpectToBecomeFrozen();
  ASSERT_TRUE(FreezerOf(*group_).Thaw(Within(kPlenty)).ok());
  world().KillTask(blocker_);
  EXPECT_EQ(*group_->Processes(), std::vector<pid_t>{other_});
}

TEST_P(KeptFreezeContractTest, BecomesFrozenWhenTheBlockerMovesOut) {
  ASSERT_TRUE(world().NewGroup().AddProcess(blocker_).ok());
  ExpectToBecomeFrozen();
}

TEST_P(KeptFreezeContractTest, BecomesFrozenWhenTheBlockerIsUnblocked) {
  world().Unblock(blocker_);
  ExpectToBecomeFrozen();
}

TEST_P(KeptFreezeContractTest, CancellationOfARetryGivesTheRequestBack) {
  Cancellation cancel;
  cancel.Cancel();
  FreezeOptions options = Within(kPlenty);
  options.cancel = &cancel;

  const auto result = FreezerOf(*group_).Freeze(options);

  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
  ExpectState(*group_, v1::FREEZER_STATE_FREEZING, /*self_freezing=*/true);
}

TEST_P(BlockedContractTest, CancellationIsNoReasonToKeepTheRequest) {
  Cgroup& group = world().NewGroup();
  world().AddBlockedTask(group);
  Cancellation cancel;
  cancel.Cancel();
  FreezeOptions options = Within(kPlenty);
  options.cancel = &cancel;
  options.on_busy = v1::ON_BUSY_KEEP;

  const auto result = FreezerOf(group).Freeze(options);

  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
  ExpectThawed(group);
}

INSTANTIATE_TEST_SUITE_P(Worlds, KeptFreezeContractTest,
                         testing::ValuesIn(BlockedWorlds()), WorldName);

INSTANTIATE_TEST_SUITE_P(Worlds, BlockedContractTest,
                         testing::ValuesIn(BlockedWorlds()), WorldName);

}  // namespace
}  // namespace ckpt::freezer
