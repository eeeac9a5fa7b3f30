// The legality check and the search for the root, on the fake kernel and on the
// real one.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "freezer/contract_fixture.h"
#include "freezer/kernel_names.h"
#include "freezer/verify.h"

namespace ckpt::freezer {
namespace {

class VerifyContractTest : public ContractTest {
 protected:
  absl::Status Verify(Cgroup& group, pid_t root) {
    Freezer freezer = FreezerOf(group);
    return VerifySingleFrozenGroup(freezer, world().proc(), {.root = root},
                                   report_)
        .status();
  }

  // As `ckpt verify-freeze`; the report is in `legal_`.
  absl::Status VerifyByOptions(Cgroup& group, const TreeOptions& options) {
    Freezer freezer = FreezerOf(group);
    auto report = VerifyFreeze(freezer, world().proc(), options);
    if (report.ok()) legal_ = *report;
    return report.status();
  }

  v1::FreezeReport report_;
  v1::VerifyFreezeReport legal_;
};

TEST_P(VerifyContractTest, TreeThatIsAloneInAFrozenGroupPasses) {
  Cgroup& group = world().NewGroup();
  const pid_t root = world().AddTask(group);
  const pid_t child = world().AddTask(group, root, /*threads=*/3);
  FreezeBefore(group);

  const absl::Status status = Verify(group, root);

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(report_.threads(), ThreadsOf({root, child}));
}

TEST_P(VerifyContractTest, StrayIsNamedWithTheGroupThatItIsIn) {
  Cgroup& group = world().NewGroup();
  Cgroup& elsewhere = world().NewGroup();
  const pid_t root = world().AddTask(group);
  const pid_t stray = world().AddTask(elsewhere, root);
  FreezeBefore(group);

  const absl::Status status = Verify(group, root);

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_TRUE(status.GetPayload(kReportUrl).has_value());
  EXPECT_EQ(report_.outsiders_size(), 0);
  ASSERT_EQ(report_.strays_size(), ThreadsOf({stray})) << status;
  EXPECT_EQ(report_.strays(0).tid(), stray);
  // The path below the mount point.
  EXPECT_FALSE(report_.strays(0).cgroup().empty());
  EXPECT_TRUE(absl::EndsWith(elsewhere.path(), report_.strays(0).cgroup()))
      << report_.strays(0).cgroup();
  EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat(stray, " (")))
      << status;
}

TEST_P(VerifyContractTest, TaskOfAnInnerGroupIsAStray) {
  Cgroup& group = world().NewGroup();
  Cgroup& inner = world().NewGroup(&group);
  const pid_t root = world().AddTask(group);
  const pid_t stray = world().AddTask(inner, root, /*threads=*/2);
  FreezeBefore(group);

  const absl::Status status = Verify(group, root);

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  ASSERT_EQ(report_.strays_size(), ThreadsOf({stray})) << status;
  EXPECT_EQ(report_.strays(0).pid(), stray);
  EXPECT_EQ(report_.strays(1).pid(), stray);
}

TEST_P(VerifyContractTest, OutsiderIsNamed) {
  Cgroup& group = world().NewGroup();
  const pid_t root = world().AddTask(group);
  const pid_t outsider = world().AddTask(group);
  FreezeBefore(group);

  const absl::Status status = Verify(group, root);

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_EQ(report_.strays_size(), 0);
  ASSERT_EQ(report_.outsiders_size(), ThreadsOf({outsider})) << status;
  EXPECT_EQ(report_.outsiders(0).tid(), outsider);
  EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat(outsider, " (")))
      << status;
}

TEST_P(VerifyContractTest, MessageNamesFiveTasksAndTheReportAll) {
  Cgroup& group = world().NewGroup();
  const pid_t root = world().AddTask(group);
  const pid_t outsider = world().AddTask(group, 0, /*threads=*/7);
  const int threads = ThreadsOf({outsider});
  FreezeBefore(group);

  const absl::Status status = Verify(group, root);

  EXPECT_EQ(report_.outsiders_size(), threads);
  EXPECT_TRUE(absl::StrContains(status.message(),
                                absl::StrCat("and ", threads - 5, " more")))
      << status;
}

TEST_P(VerifyContractTest, ZombiesAreNoStrays) {
  Cgroup& group = world().NewGroup();
  const pid_t root = world().AddTask(group);
  const pid_t zombie = world().AddZombie(root);
  ASSERT_EQ(world().proc().Stat(zombie)->state, 'Z');
  FreezeBefore(group);

  const absl::Status status = Verify(group, root);

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(report_.strays_size(), 0);
}

TEST_P(VerifyContractTest, GroupThatWasThawedMeanwhileAborts) {
  Cgroup& group = world().NewGroup();
  const pid_t root = world().AddTask(group);
  FreezeBefore(group);
  world().ThawFromOutside(group);

  EXPECT_EQ(Verify(group, root).code(), absl::StatusCode::kAborted);
}

TEST_P(VerifyContractTest, GroupFrozenOnlyByAnAncestorAborts) {
  Cgroup& outer = world().NewGroup();
  Cgroup& inner = world().NewGroup(&outer);
  const pid_t root = world().AddTask(inner);
  FreezeBefore(outer);

  EXPECT_EQ(Verify(inner, root).code(), absl::StatusCode::kAborted);
}

TEST_P(VerifyContractTest, RootThatIsGoneIsNotFound) {
  Cgroup& group = world().NewGroup();
  const pid_t root = world().AddTask(group);
  world().KillTask(root);
  FreezeBefore(group);

  EXPECT_EQ(Verify(group, root).code(), absl::StatusCode::kNotFound);
}

TEST_P(VerifyContractTest, RootElsewhereMakesEveryMemberAnOutsider) {
  Cgroup& group = world().NewGroup();
  Cgroup& elsewhere = world().NewGroup();
  const pid_t root = world().AddTask(elsewhere);
  const pid_t member = world().AddTask(group);
  FreezeBefore(group);

  EXPECT_EQ(Verify(group, root).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(report_.strays_size(), ThreadsOf({root}));
  EXPECT_EQ(report_.outsiders_size(), ThreadsOf({member}));
}

TEST_P(VerifyContractTest, ThawedGroupCanBeComparedBeforehand) {
  Cgroup& group = world().NewGroup();
  const pid_t root = world().AddTask(group);
  const TreeOptions tree = {.root = root};
  EXPECT_TRUE(CompareTreeWithGroup(group, world().proc(), tree, report_).ok());
  world().AddTask(group);
  EXPECT_EQ(CompareTreeWithGroup(group, world().proc(), tree, report_)
                .status()
                .code(),
            absl::StatusCode::kFailedPrecondition);
}

// --- With an exception, with groups below, with an ancestor's freeze ---------

TEST_P(VerifyContractTest, ExceptionMayStandOutside) {
  Cgroup& group = world().NewGroup();
  Cgroup& elsewhere = world().NewGroup();
  const pid_t root = world().AddTask(group);
  const pid_t asks = world().AddTask(elsewhere, root);
  FreezeBefore(group);

  const absl::Status status =
      VerifyByOptions(group, {.root = root, .except = asks});

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(legal_.processes(), 1);
  EXPECT_EQ(legal_.freeze().threads(), ThreadsOf({root}));
}

TEST_P(VerifyContractTest, ExceptionIsForOneProcess) {
  Cgroup& group = world().NewGroup();
  Cgroup& elsewhere = world().NewGroup();
  const pid_t root = world().AddTask(group);
  const pid_t asks = world().AddTask(elsewhere, root, /*threads=*/3);
  world().AddTask(elsewhere, root);
  FreezeBefore(group);

  EXPECT_EQ(VerifyByOptions(group, {.root = root, .except = asks}).code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_P(VerifyContractTest, RootItselfMayBeTheException) {
  Cgroup& group = world().NewGroup();
  Cgroup& elsewhere = world().NewGroup();
  const pid_t root = world().AddTask(elsewhere);
  const pid_t child = world().AddTask(group, root);
  FreezeBefore(group);

  const absl::Status status =
      VerifyByOptions(group, {.root = root, .except = root});

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(legal_.freeze().threads(), ThreadsOf({child}));
}

TEST_P(VerifyContractTest, ExceptionOfAnotherTreeIsInvalid) {
  Cgroup& group = world().NewGroup();
  const pid_t root = world().AddTask(group);
  const pid_t other = world().AddTask(group);
  FreezeBefore(group);
  EXPECT_EQ(VerifyByOptions(group, {.root = root, .except = other}).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(VerifyContractTest, SubtreeCountsGroupsBelowAsTheSameFreeze) {
  Cgroup& group = world().NewGroup();
  Cgroup& inner = world().NewGroup(&group);
  Cgroup& innermost = world().NewGroup(&inner);
  const pid_t root = world().AddTask(inner);
  const pid_t child = world().AddTask(innermost, root, /*threads=*/2);
  FreezeBefore(group);

  EXPECT_EQ(VerifyByOptions(group, {.root = root}).code(),
            absl::StatusCode::kFailedPrecondition);
  const absl::Status status =
      VerifyByOptions(group, {.root = root, .subtree = true});

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(legal_.processes(), 2);
  EXPECT_EQ(legal_.freeze().threads(), ThreadsOf({root, child}));
}

TEST_P(VerifyContractTest, SubtreeStillNamesStraysAndOutsiders) {
  Cgroup& group = world().NewGroup();
  Cgroup& inner = world().NewGroup(&group);
  Cgroup& elsewhere = world().NewGroup();
  const pid_t root = world().AddTask(inner);
  const pid_t stray = world().AddTask(elsewhere, root);
  const pid_t outsider = world().AddTask(inner);
  FreezeBefore(group);

  const absl::Status status =
      VerifyByOptions(group, {.root = root, .subtree = true});

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  v1::FreezeReport evidence;
  ASSERT_TRUE(evidence.ParseFromString(
      std::string(status.GetPayload(kReportUrl).value_or(absl::Cord()))));
  ASSERT_EQ(evidence.strays_size(), ThreadsOf({stray})) << status;
  EXPECT_EQ(evidence.strays(0).tid(), stray);
  ASSERT_EQ(evidence.outsiders_size(), ThreadsOf({outsider})) << status;
  EXPECT_EQ(evidence.outsiders(0).tid(), outsider);
}

TEST_P(VerifyContractTest, AncestorsFreezeIsLegalAndNamed) {
  Cgroup& outer = world().NewGroup();
  Cgroup& inner = world().NewGroup(&outer);
  const pid_t root = world().AddTask(inner);
  FreezeBefore(outer);

  const absl::Status status = VerifyByOptions(inner, {.root = root});

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(legal_.freeze().after().frozen_ancestor(), outer.path());
  EXPECT_FALSE(legal_.freeze().after().self_freezing());
}

TEST_P(VerifyContractTest, ThawedGroupIsNotLegal) {
  Cgroup& group = world().NewGroup();
  const pid_t root = world().AddTask(group);
  EXPECT_EQ(VerifyByOptions(group, {.root = root}).code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_P(VerifyContractTest, TreeThatHasEndedIsNotFound) {
  Cgroup& group = world().NewGroup();
  const pid_t zombie = world().AddZombie(world().AddTask(world().NewGroup()));
  FreezeBefore(group);
  EXPECT_EQ(VerifyByOptions(group, {.root = zombie}).code(),
            absl::StatusCode::kNotFound);
}

// --- FindTreeRoot -----------------------------------------------------------

TEST_P(VerifyContractTest, RootIsTheMemberWhoseParentIsNoMember) {
  Cgroup& group = world().NewGroup();
  const pid_t root = world().AddTask(group);
  world().AddTask(group, root);
  world().AddTask(group, root);

  const auto found = FindTreeRoot(group, world().proc(), /*subtree=*/false);

  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, root);
}

TEST_P(VerifyContractTest, RootIsFoundInGroupsBelow) {
  Cgroup& group = world().NewGroup();
  const pid_t root = world().AddTask(world().NewGroup(&group));
  world().AddTask(group, root);

  const auto found = FindTreeRoot(group, world().proc(), /*subtree=*/true);

  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, root);
}

TEST_P(VerifyContractTest, EmptyGroupHasNoRoot) {
  Cgroup& group = world().NewGroup();
  EXPECT_EQ(
      FindTreeRoot(group, world().proc(), /*subtree=*/false).status().code(),
      absl::StatusCode::kNotFound);
}

TEST_P(VerifyContractTest, SeveralRootsAreNamed) {
  Cgroup& group = world().NewGroup();
  const pid_t one = world().AddTask(group);
  const pid_t two = world().AddTask(group);

  const auto found = FindTreeRoot(group, world().proc(), /*subtree=*/false);

  EXPECT_EQ(found.status().code(), absl::StatusCode::kFailedPrecondition);
  for (const pid_t pid : {one, two}) {
    EXPECT_TRUE(
        absl::StrContains(found.status().message(), absl::StrCat(pid, " (")))
        << found.status();
  }
}

TEST_P(VerifyContractTest, RootOfAFrozenGroupIsFound) {
  Cgroup& group = world().NewGroup();
  const pid_t root = world().AddTask(group);
  world().AddTask(group, root);
  FreezeBefore(group);
  const auto found = FindTreeRoot(group, world().proc(), /*subtree=*/false);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, root);
}

INSTANTIATE_TEST_SUITE_P(Worlds, VerifyContractTest,
                         testing::ValuesIn(Worlds()), WorldName);

// v1 moves single threads; v2 does so in threaded groups only.
class V1VerifyContractTest : public VerifyContractTest {};

TEST_P(V1VerifyContractTest, ThreadThatWasMovedAwayIsAStray) {
  Cgroup& group = world().NewGroup();
  Cgroup& elsewhere = world().NewGroup();
  const pid_t root = world().AddTask(group, 0, /*threads=*/3);
  const pid_t stray = world().proc().Threads(root)->back();
  ASSERT_TRUE(elsewhere.Write(kV1TasksFile, absl::StrCat(stray)).ok());
  FreezeBefore(group);

  const absl::Status status = Verify(group, root);

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  ASSERT_EQ(report_.strays_size(), 1) << status;
  EXPECT_EQ(report_.strays(0).tid(), stray);
  EXPECT_EQ(report_.strays(0).pid(), root);
}

std::vector<WorldFactory> V1Worlds() {
  std::vector<WorldFactory> all = Worlds();
  std::vector<WorldFactory> worlds;
  for (WorldFactory& world : all) {
    if (world.hierarchy == v1::HIERARCHY_V1) worlds.push_back(std::move(world));
  }
  return worlds;
}

INSTANTIATE_TEST_SUITE_P(Worlds, V1VerifyContractTest,
                         testing::ValuesIn(V1Worlds()), WorldName);

}  // namespace
}  // namespace ckpt::freezer
