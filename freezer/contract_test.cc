// What every freezer does, on the fake kernel and on the real one: freezing,
// thawing, giving back, ancestors, refusals, the lock.
#include <unistd.h>

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "freezer/contract_fixture.h"
#include "freezer/frozen_scope.h"
#include "freezer/kernel_names.h"

namespace ckpt::freezer {
namespace {

class FreezeContractTest : public ContractTest {};

TEST_P(FreezeContractTest, ThawedGroupBecomesFrozenWithAllThreadsCounted) {
  Cgroup& group = world().NewGroup();
  const pid_t one = world().AddTask(group, 0, /*threads=*/3);
  const pid_t two = world().AddTask(group);
  Freezer freezer = FreezerOf(group);

  const auto report = freezer.Freeze(Within(kPlenty));

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_GE(report->threads(), 4);
  EXPECT_EQ(report->threads(), ThreadsOf({one, two}));
  EXPECT_EQ(report->before().state(), v1::FREEZER_STATE_THAWED);
  EXPECT_EQ(report->after().state(), v1::FREEZER_STATE_FROZEN);
  EXPECT_TRUE(report->after().self_freezing());
  EXPECT_EQ(report->after().cgroup(), group.path());
  EXPECT_EQ(report->after().hierarchy(), world().hierarchy());
  ExpectFrozen(group);
}

TEST_P(FreezeContractTest, FrozenGroupThaws) {
  Cgroup& group = world().NewGroup();
  world().AddTask(group);
  FreezeBefore(group);
  Freezer freezer = FreezerOf(group);

  const auto report = freezer.Thaw(Within(kPlenty));

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->before().state(), v1::FREEZER_STATE_FROZEN);
  EXPECT_EQ(report->after().state(), v1::FREEZER_STATE_THAWED);
  ExpectThawed(group);
}

TEST_P(FreezeContractTest, ThawOfAThawedGroupSucceeds) {
  Cgroup& group = world().NewGroup();
  world().AddTask(group);
  Freezer freezer = FreezerOf(group);
  EXPECT_TRUE(freezer.Thaw(Within(kPlenty)).ok());
  ExpectThawed(group);
}

TEST_P(FreezeContractTest, StatusNamesEveryThread) {
  Cgroup& group = world().NewGroup();
  const pid_t pid = world().AddTask(group, 0, /*threads=*/2);
  Freezer freezer = FreezerOf(group);

  const auto status = freezer.GetStatus(/*with_tasks=*/true);

  ASSERT_TRUE(status.ok()) << status.status();
  ASSERT_GE(status->tasks_size(), 2);
  EXPECT_EQ(status->tasks_size(), ThreadsOf({pid}));
  for (const v1::TaskInfo& task : status->tasks()) {
    EXPECT_EQ(task.pid(), pid);
    EXPECT_FALSE(task.comm().empty());
    EXPECT_EQ(task.state().size(), 1u);
  }
  EXPECT_NE(status->tasks(0).tid(), status->tasks(1).tid());
}

TEST_P(FreezeContractTest, StatusTellsWhichThreadsAreFrozenAlsoInGroupsBelow) {
  Cgroup& outer = world().NewGroup();
  Cgroup& inner = world().NewGroup(&outer);
  const pid_t above = world().AddTask(outer);
  const pid_t below = world().AddTask(inner);
  FreezeBefore(inner);

  const auto status = FreezerOf(outer).GetStatus(/*with_tasks=*/true);

  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->tasks_size(), ThreadsOf({above, below}));
  for (const v1::TaskInfo& task : status->tasks()) {
    const bool is_below = task.pid() == below;
    EXPECT_EQ(task.frozen(), is_below) << task.ShortDebugString();
    EXPECT_EQ(task.cgroup(), is_below ? inner.path() : "");
  }
}

TEST_P(FreezeContractTest, ReportNamesEveryThreadAlsoInGroupsBelow) {
  Cgroup& outer = world().NewGroup();
  Cgroup& inner = world().NewGroup(&outer);
  const pid_t above = world().AddTask(outer, 0, /*threads=*/3);
  const pid_t below = world().AddTask(inner);

  const auto report = FreezerOf(outer).Freeze(Within(kPlenty));

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->threads(), ThreadsOf({above, below}));
  EXPECT_EQ(report->tasks_size(), report->threads());
  int in_inner = 0;
  for (const v1::TaskInfo& task : report->tasks()) {
    EXPECT_TRUE(task.frozen()) << task.ShortDebugString();
    if (task.cgroup() == inner.path()) ++in_inner;
  }
  EXPECT_EQ(in_inner, ThreadsOf({below}));
}

TEST_P(FreezeContractTest, ReportTellsMoreOfEveryThreadWhenAskedTo) {
  Cgroup& group = world().NewGroup();
  const pid_t one = world().AddTask(group, 0, /*threads=*/3);
  const pid_t two = world().AddTask(world().NewGroup(&group));
  FreezeOptions options = Within(kPlenty);
  options.list_tasks = true;

  const auto report = FreezerOf(group).Freeze(options);

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->tasks_size(), ThreadsOf({one, two}));
  for (const v1::TaskInfo& task : report->tasks()) {
    EXPECT_TRUE(task.frozen()) << task.ShortDebugString();
    EXPECT_FALSE(task.comm().empty()) << task.ShortDebugString();
  }
}

TEST_P(FreezeContractTest, EmptyGroupFreezesAndThaws) {
  Cgroup& group = world().NewGroup();
  Freezer freezer = FreezerOf(group);

  const auto report = freezer.Freeze(Within(kPlenty));

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->threads(), 0);
  ExpectFrozen(group);
  EXPECT_TRUE(freezer.Thaw(Within(kPlenty)).ok());
  ExpectThawed(group);
}

TEST_P(FreezeContractTest, TaskThatJoinsAFrozenGroupIsFrozenToo) {
  Cgroup& group = world().NewGroup();
  Cgroup& other = world().NewGroup();
  const pid_t member = world().AddTask(group);
  const pid_t newcomer = world().AddTask(other);
  FreezeBefore(group);
  ASSERT_TRUE(group.AddProcess(newcomer).ok());
  Freezer freezer = FreezerOf(group);

  const auto report = freezer.Freeze(Within(kPlenty));

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->threads(), ThreadsOf({member, newcomer}));
}

TEST_P(FreezeContractTest, FiveHundredThreadsFreeze) {
  Cgroup& group = world().NewGroup();
  const pid_t pid = world().AddTask(group, 0, /*threads=*/500);
  Freezer freezer = FreezerOf(group);

  const auto report = freezer.Freeze(Within(kPlenty));

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_GE(report->threads(), 500);
  EXPECT_EQ(report->threads(), ThreadsOf({pid}));
}

TEST_P(FreezeContractTest, ForkStormFreezesAndStaysFrozen) {
  Cgroup& group = world().NewGroup();
  world().AddForkStorm(group);
  Freezer freezer = FreezerOf(group);

  const auto report = freezer.Freeze(Within(kPlenty));

  ASSERT_TRUE(report.ok()) << report.status();
  const auto threads = group.Threads();
  ASSERT_TRUE(threads.ok());
  EXPECT_EQ(threads->size(), static_cast<size_t>(report->threads()));
  EXPECT_GE(report->threads(), 4);
  ExpectFrozen(group);
}

TEST_P(FreezeContractTest, StateThatIsAskedForByNameIsReached) {
  Cgroup& group = world().NewGroup();
  world().AddTask(group);
  Freezer freezer = FreezerOf(group);

  const auto frozen =
      freezer.SetState(v1::FREEZER_STATE_FROZEN, Within(kPlenty));
  ASSERT_TRUE(frozen.ok()) << frozen.status();
  EXPECT_EQ(frozen->after().state(), v1::FREEZER_STATE_FROZEN);
  ExpectFrozen(group);

  const auto thawed =
      freezer.SetState(v1::FREEZER_STATE_THAWED, Within(kPlenty));
  ASSERT_TRUE(thawed.ok()) << thawed.status();
  EXPECT_EQ(thawed->after().state(), v1::FREEZER_STATE_THAWED);
  ExpectThawed(group);
}

TEST_P(FreezeContractTest, StateThatComesOfItselfIsNotAskedFor) {
  Cgroup& group = world().NewGroup();
  world().AddTask(group);
  Freezer freezer = FreezerOf(group);
  for (const auto state :
       {v1::FREEZER_STATE_FREEZING, v1::FREEZER_STATE_CHECKPOINTING,
        v1::FREEZER_STATE_UNSPECIFIED}) {
    const auto report = freezer.SetState(state, Within(kPlenty));
    EXPECT_EQ(report.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(absl::StrContains(report.status().message(),
                                  "is not asked for; ask for FROZEN"))
        << report.status();
    ExpectThawed(group);
  }
}

// --- Giving back ------------------------------------------------------------

TEST_P(FreezeContractTest, ScopeThawsWhatWasThawedWhenItIsDestroyed) {
  Cgroup& group = world().NewGroup();
  world().AddTask(group);
  Freezer freezer = FreezerOf(group);
  {
    const auto scope = FrozenScope::Enter(freezer, Within(kPlenty));
    ASSERT_TRUE(scope.ok()) << scope.status();
    EXPECT_FALSE((*scope)->was_frozen());
    ExpectFrozen(group);
  }
  ExpectThawed(group);
}

TEST_P(FreezeContractTest, ScopeAdoptsAFrozenGroupAndLeaveGivesItBackFrozen) {
  Cgroup& group = world().NewGroup();
  world().AddTask(group);
  FreezeBefore(group);
  Freezer freezer = FreezerOf(group);
  const auto scope = FrozenScope::Enter(freezer, Within(kPlenty));
  ASSERT_TRUE(scope.ok()) << scope.status();
  EXPECT_TRUE((*scope)->was_frozen());

  EXPECT_TRUE((*scope)->Leave().ok());

  ExpectFrozen(group);
}

TEST_P(FreezeContractTest, SecondLeaveDoesNothing) {
  Cgroup& group = world().NewGroup();
  world().AddTask(group);
  Freezer freezer = FreezerOf(group);
  const auto scope = FrozenScope::Enter(freezer, Within(kPlenty));
  ASSERT_TRUE(scope.ok()) << scope.status();
  ASSERT_TRUE((*scope)->LeaveFrozen().ok());
  EXPECT_TRUE((*scope)->Leave().ok());
  ExpectFrozen(group);
}

TEST_P(FreezeContractTest, LeaveThawedThawsAnAdoptedGroup) {
  Cgroup& group = world().NewGroup();
  world().AddTask(group);
  FreezeBefore(group);
  Freezer freezer = FreezerOf(group);
  const auto scope = FrozenScope::Enter(freezer, Within(kPlenty));
  ASSERT_TRUE(scope.ok()) << scope.status();
  EXPECT_TRUE((*scope)->LeaveThawed().ok());
  ExpectThawed(group);
}

TEST_P(FreezeContractTest, LeavingAGroupThatWasRemovedIsNoError) {
  Cgroup& group = world().NewGroup();
  const pid_t pid = world().AddTask(group);
  Freezer freezer = FreezerOf(group);
  const auto scope = FrozenScope::Enter(freezer, Within(kPlenty));
  ASSERT_TRUE(scope.ok()) << scope.status();
  world().ThawFromOutside(group);
  world().KillTask(pid);
  world().RemoveGroup(group);

  EXPECT_TRUE((*scope)->Leave().ok());
}

TEST_P(FreezeContractTest, WillWrittenToTheRequestFileThaws) {
  Cgroup& group = world().NewGroup();
  world().AddTask(group);
  FreezeBefore(group);
  Freezer freezer = FreezerOf(group);
  const auto file = freezer.OpenRequestFile();
  ASSERT_TRUE(file.ok()) << file.status();
  const absl::string_view word = freezer.RequestWord(/*freeze=*/false);

  ASSERT_EQ(::write(file->get(), word.data(), word.size()),
            static_cast<ssize_t>(word.size()));

  EXPECT_TRUE(freezer.Thaw(Within(kPlenty)).ok());
  ExpectThawed(group);
}

// --- Ancestors and descendants ----------------------------------------------

TEST_P(FreezeContractTest, TasksOfInnerGroupsAreFrozenToo) {
  Cgroup& outer = world().NewGroup();
  Cgroup& inner = world().NewGroup(&outer);
  Cgroup& innermost = world().NewGroup(&inner);
  world().AddTask(outer);
  world().AddTask(innermost);

  FreezeBefore(outer);

  ExpectFrozen(outer);
  ExpectState(innermost, v1::FREEZER_STATE_FROZEN, /*self_freezing=*/false);
  EXPECT_TRUE(FreezerOf(outer).Thaw(Within(kPlenty)).ok());
  ExpectThawed(innermost);
}

TEST_P(FreezeContractTest, GroupFrozenOnlyByAnAncestorIsReportedAsSuch) {
  Cgroup& outer = world().NewGroup();
  Cgroup& middle = world().NewGroup(&outer);
  Cgroup& inner = world().NewGroup(&middle);
  world().AddTask(inner);
  FreezeBefore(outer);

  const v1::CgroupStatus status = StatusOf(inner);

  EXPECT_EQ(status.state(), v1::FREEZER_STATE_FROZEN);
  EXPECT_FALSE(status.self_freezing());
  EXPECT_EQ(status.frozen_ancestor(), outer.path());
}

TEST_P(FreezeContractTest, ThawNamesTheAncestorThatKeepsTheGroupFrozen) {
  Cgroup& outer = world().NewGroup();
  Cgroup& inner = world().NewGroup(&outer);
  world().AddTask(inner);
  FreezeBefore(inner);
  FreezeBefore(outer);
  Freezer freezer = FreezerOf(inner);

  const auto report = freezer.Thaw(Within(kPlenty));

  EXPECT_EQ(report.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(report.status().message(), outer.path() + " "))
      << report.status();
  ExpectState(inner, v1::FREEZER_STATE_FROZEN, /*self_freezing=*/false);
}

TEST_P(FreezeContractTest, OwnRequestUnderAFrozenAncestorOutlivesIts) {
  Cgroup& outer = world().NewGroup();
  Cgroup& inner = world().NewGroup(&outer);
  world().AddTask(inner);
  FreezeBefore(outer);
  Freezer freezer = FreezerOf(inner);

  const auto report = freezer.Freeze(Within(kPlenty));

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->before().self_freezing());
  EXPECT_EQ(report->before().frozen_ancestor(), outer.path());
  ASSERT_TRUE(FreezerOf(outer).Thaw(Within(kPlenty)).ok());
  ExpectFrozen(inner);
}

TEST_P(FreezeContractTest, ScopeUnderAFrozenAncestorTakesItsRequestBack) {
  Cgroup& outer = world().NewGroup();
  Cgroup& inner = world().NewGroup(&outer);
  world().AddTask(inner);
  FreezeBefore(outer);
  Freezer freezer = FreezerOf(inner);
  const auto scope = FrozenScope::Enter(freezer, Within(kPlenty));
  ASSERT_TRUE(scope.ok()) << scope.status();

  EXPECT_TRUE((*scope)->Leave().ok());

  ExpectState(inner, v1::FREEZER_STATE_FROZEN, /*self_freezing=*/false);
}

// --- Refusals ---------------------------------------------------------------

TEST_P(FreezeContractTest, RootGroupIsRefused) {
  Freezer freezer = FreezerOf(world().RootGroup());
  const auto report = freezer.Freeze(Within(kPlenty));
  EXPECT_EQ(report.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(FreezeContractTest, RootGroupIsAlwaysThawed) {
  EXPECT_TRUE(world().RootGroup().is_root());
  ExpectThawed(world().RootGroup());
  EXPECT_TRUE(FreezerOf(world().RootGroup()).Thaw(Within(kPlenty)).ok());
  EXPECT_EQ(world().RootGroup().Parent().status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_P(FreezeContractTest, GroupThatHoldsTheCallerIsRefused) {
  Cgroup& group = world().NewGroup();
  const absl::Status status = world().RunInside(
      group, [&] { return FreezerOf(group).Freeze(Within(kPlenty)).status(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "itself")) << status;
  ExpectThawed(group);
}

TEST_P(FreezeContractTest, GroupAboveTheCallersIsRefused) {
  Cgroup& outer = world().NewGroup();
  Cgroup& inner = world().NewGroup(&outer);
  const absl::Status status = world().RunInside(
      inner, [&] { return FreezerOf(outer).Freeze(Within(kPlenty)).status(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  ExpectThawed(outer);
}

TEST_P(FreezeContractTest, PassedDeadlineIsTooLateAndTouchesNothing) {
  Cgroup& group = world().NewGroup();
  world().AddTask(group);
  Freezer freezer = FreezerOf(group);
  const auto report = freezer.Freeze(Within(absl::ZeroDuration()));
  EXPECT_EQ(report.status().code(), absl::StatusCode::kDeadlineExceeded);
  ExpectThawed(group);
}

TEST_P(FreezeContractTest, VanishedGroupIsNotFound) {
  Cgroup& group = world().NewGroup();
  Freezer freezer = FreezerOf(group);
  world().RemoveGroup(group);
  EXPECT_EQ(freezer.Freeze(Within(kPlenty)).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(freezer.Thaw(Within(kPlenty)).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(freezer.GetStatus(/*with_tasks=*/true).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(group.Threads().status().code(), absl::StatusCode::kNotFound);
}

// --- The seam itself --------------------------------------------------------

TEST_P(FreezeContractTest, GroupKnowsItsMembersAndNeighbours) {
  Cgroup& outer = world().NewGroup();
  Cgroup& inner = world().NewGroup(&outer);
  const pid_t above = world().AddTask(outer);
  const pid_t below = world().AddTask(inner);

  EXPECT_EQ(*outer.Processes(), std::vector<pid_t>{above});
  EXPECT_EQ(*outer.SubtreeProcesses(), (std::vector<pid_t>{above, below}));
  ASSERT_EQ(outer.Children()->size(), 1u);
  EXPECT_EQ(outer.Children()->front()->path(), inner.path());
  EXPECT_EQ((*inner.Parent())->path(), outer.path());
  EXPECT_TRUE((*outer.Parent())->is_root());
}

TEST_P(FreezeContractTest, NoStateButFrozenAndThawedCanBeAskedFor) {
  Cgroup& group = world().NewGroup();
  const bool is_v1 = world().hierarchy() == v1::HIERARCHY_V1;
  const auto status = is_v1 ? group.Write(kV1StateFile, kV1Freezing)
                            : group.Write(kV2FreezeFile, "x");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  ExpectThawed(group);
}

TEST_P(FreezeContractTest, UnknownFileIsNotFound) {
  Cgroup& group = world().NewGroup();
  EXPECT_EQ(group.Read("no.such.file").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(group.Write("no.such.file", "1").code(),
            absl::StatusCode::kNotFound);
}

TEST_P(FreezeContractTest, SecondLockIsUnavailableAndNamesTheHolder) {
  Cgroup& group = world().NewGroup();
  auto first = group.Lock();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(group.LockHolder(), ::getpid());

  const auto second = group.Lock();

  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(second.status().message(),
                                absl::StrCat("process ", ::getpid())))
      << second.status();
}

TEST_P(FreezeContractTest, ClosedLockIsFreeAgain) {
  Cgroup& group = world().NewGroup();
  EXPECT_EQ(group.LockHolder(), 0);
  { const auto lock = group.Lock(); }
  EXPECT_EQ(group.LockHolder(), 0);
  EXPECT_TRUE(group.Lock().ok());
}

TEST_P(FreezeContractTest, LocksOfTwoGroupsAreTwo) {
  Cgroup& one = world().NewGroup();
  Cgroup& two = world().NewGroup();
  const auto lock = one.Lock();
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(two.LockHolder(), 0);
  EXPECT_TRUE(two.Lock().ok());
}

INSTANTIATE_TEST_SUITE_P(Worlds, FreezeContractTest,
                         testing::ValuesIn(Worlds()), WorldName);

}  // namespace
}  // namespace ckpt::freezer
