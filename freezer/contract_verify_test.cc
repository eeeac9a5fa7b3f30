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
    return VerifySingleFrozenGroup(freezer, world().proc(), root, report_);
  }

  v1::FreezeReport report_;
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
  EXPECT_TRUE(CompareTreeWithGroup(group, world().proc(), root, report_).ok());
  world().AddTask(group);
  EXPECT_EQ(CompareTreeWithGroup(group, world().proc(), root, report_).code(),
            absl::StatusCode::kFailedPrecondition);
}

// --- FindTreeRoot -----------------------------------------------------------

TEST_P(VerifyContractTest, RootIsTheMemberWhoseParentIsNoMember) {
  Cgroup& group = world().NewGroup();
  const pid_t root = world().AddTask(group);
  world().AddTask(group, root);
  world().AddTask(group, root);

  const auto found = FindTreeRoot(group, world().proc());

  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, root);
}

TEST_P(VerifyContractTest, EmptyGroupHasNoRoot) {
  Cgroup& group = world().NewGroup();
  EXPECT_EQ(FindTreeRoot(group, world().proc()).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_P(VerifyContractTest, SeveralRootsAreNamed) {
  Cgroup& group = world().NewGroup();
  const pid_t one = world().AddTask(group);
  const pid_t two = world().AddTask(group);

  const auto found = FindTreeRoot(group, world().proc());

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
  const auto found = FindTreeRoot(group, world().proc());
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
