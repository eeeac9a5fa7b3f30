// Several --cgroup in one call: done together, reported together, and given
// back together.

#include <signal.h>
#include <sys/file.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/e2e/running_ckpt.h"
#include "tests/support/blocked_task.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {
namespace {

constexpr int kGroups = 3;
constexpr int kInvalidArgument =
    static_cast<int>(absl::StatusCode::kInvalidArgument);
constexpr int kUnavailable = static_cast<int>(absl::StatusCode::kUnavailable);

class GroupSetTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    BecomeReaper();
    for (int i = 0; i < kGroups; ++i) {
      auto group = TestCgroup::Create(GetParam());
      ASSERT_TRUE(group.ok()) << group.status();
      groups_.push_back(*std::move(group));
      const auto job = Job::Start({.argv = {"/bin/sleep", "1000"},
                                   .env = {},
                                   .cgroups = {groups_.back().get()}});
      ASSERT_TRUE(job.ok()) << job.status();
    }
  }

  std::vector<std::string> WithGroups(std::vector<std::string> words) {
    for (const auto& group : groups_) {
      words.insert(words.end(), {"--cgroup", group->path()});
    }
    return words;
  }
  CommandResult Ckpt(std::vector<std::string> words) {
    return ckpt_.Run(WithGroups(std::move(words)));
  }
  void ExpectAll(CgroupState state) {
    for (const auto& group : groups_) Expect(*group, state);
  }
  static void Expect(const TestCgroup& group, CgroupState state) {
    EXPECT_EQ(group.AwaitState(state, Soon()), absl::OkStatus())
        << group.path();
  }
  // The last group has a task that cannot be frozen.
  std::unique_ptr<BlockedTask> Block() {
    auto blocked = BlockedTask::Start(BlockedTask::Kind::kFuseRead,
                                      {groups_.back().get()});
    EXPECT_TRUE(blocked.ok()) << blocked.status();
    return *std::move(blocked);
  }

  CkptRunner ckpt_;
  std::vector<std::unique_ptr<TestCgroup>> groups_;
};

INSTANTIATE_TEST_SUITE_P(All, GroupSetTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

TEST_P(GroupSetTest, AllAreFrozenAndThawed) {
  const CommandResult freeze = Ckpt({"freeze"});
  EXPECT_EQ(freeze.exit_status, 0) << freeze.err;
  EXPECT_TRUE(absl::StrContains(freeze.out, "3 of 3 groups")) << freeze.out;
  ExpectAll(CgroupState::kFrozen);
  const CommandResult thaw = Ckpt({"thaw"});
  EXPECT_EQ(thaw.exit_status, 0) << thaw.err;
  ExpectAll(CgroupState::kThawed);
}

TEST_P(GroupSetTest, AllAreShownAndKilled) {
  const CommandResult status = Ckpt({"status", "--json"});
  EXPECT_EQ(status.exit_status, 0) << status.err;
  const CommandResult kill = Ckpt({"kill"});
  EXPECT_EQ(kill.exit_status, 0) << kill.err;
  for (const auto& group : groups_) {
    EXPECT_TRUE(absl::StrContains(status.out, group->path()));
    EXPECT_TRUE(absl::StrContains(kill.out, group->path()));
    EXPECT_TRUE(group->Processes().empty());
  }
}

TEST_P(GroupSetTest, AGroupThatIsNamedTwiceIsRefused) {
  for (const char* verb : {"freeze", "status", "watch"}) {
    const CommandResult result = Ckpt({verb, "--cgroup", groups_[0]->path()});
    EXPECT_EQ(result.exit_status, kInvalidArgument) << verb;
    EXPECT_TRUE(absl::StrContains(result.err, "named twice")) << result.err;
  }
  ExpectAll(CgroupState::kThawed);
}

TEST_P(GroupSetTest, AGroupBelowAnotherIsRefused) {
  const auto child = groups_[0]->CreateChild("inner");
  ASSERT_TRUE(child.ok());
  const CommandResult result = Ckpt({"freeze", "--cgroup", (*child)->path()});
  EXPECT_EQ(result.exit_status, kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(result.err, "is below")) << result.err;
  ExpectAll(CgroupState::kThawed);
}

TEST_P(GroupSetTest, AGroupThatDoesNotExistHasNoneTouched) {
  const CommandResult result = Ckpt({"freeze", "--cgroup", "ckpt-test-none"});
  EXPECT_EQ(result.exit_status, static_cast<int>(absl::StatusCode::kNotFound));
  ExpectAll(CgroupState::kThawed);
}

TEST_P(GroupSetTest, OneThatFailsDoesNotKeepTheOthers) {
  const auto blocked = Block();
  const CommandResult result = Ckpt({"freeze", "--timeout", "3s"});
  EXPECT_EQ(result.exit_status, kUnavailable) << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, "2 of 3 groups")) << result.out;
  EXPECT_TRUE(absl::StrContains(result.out, "blocked-task")) << result.out;
  Expect(*groups_[0], CgroupState::kFrozen);
  Expect(*groups_[1], CgroupState::kFrozen);
  Expect(*groups_[2], CgroupState::kThawed);
}

TEST_P(GroupSetTest, AllOrNothingGivesAllBackWhenOneFails) {
  const auto blocked = Block();
  const CommandResult result =
      Ckpt({"freeze", "--timeout", "3s", "--all-or-nothing", "--json"});
  EXPECT_EQ(result.exit_status, kUnavailable) << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, "\"rolled_back\": true"))
      << result.out;
  ExpectAll(CgroupState::kThawed);
}

TEST_P(GroupSetTest, AllOrNothingLeavesFrozenWhatWasFrozen) {
  ASSERT_EQ(ckpt_.Run({"freeze", "--cgroup", groups_[0]->path()}).exit_status,
            0);
  const auto blocked = Block();
  (void)Ckpt({"freeze", "--timeout", "3s", "--all-or-nothing"});
  Expect(*groups_[0], CgroupState::kFrozen);
  Expect(*groups_[1], CgroupState::kThawed);
}

TEST_P(GroupSetTest, AGroupInUseIsReportedOrRefusesAll) {
  const auto lock = OpenDirectory(groups_[1]->path());
  ASSERT_TRUE(lock.ok());
  ASSERT_EQ(::flock(lock->get(), LOCK_EX), 0);
  EXPECT_EQ(Ckpt({"freeze", "--all-or-nothing"}).exit_status, kUnavailable);
  ExpectAll(CgroupState::kThawed);
  const CommandResult result = Ckpt({"freeze"});
  EXPECT_EQ(result.exit_status, kUnavailable) << result.err;
  Expect(*groups_[0], CgroupState::kFrozen);
  Expect(*groups_[1], CgroupState::kThawed);
  Expect(*groups_[2], CgroupState::kFrozen);
}

TEST_P(GroupSetTest, KilledItPrintsNothingAndGivesAllBack) {
  for (const char* point :
       {"freeze.held", "freeze.guarded", "freeze.frozen", "handover.half"}) {
    RunningCkpt freeze(ckpt_.CommandLine(WithGroups({"freeze", "--json"})),
                       absl::StrCat(point, "=kill"));
    EXPECT_EQ(freeze.Wait(), 128 + SIGKILL);
    EXPECT_EQ(freeze.ReadOutput(), "");
    ExpectAll(CgroupState::kThawed);
  }
}

TEST_P(GroupSetTest, KilledWithItsGuardianAllAreRecovered) {
  RunningCkpt freeze(ckpt_.CommandLine(WithGroups({"freeze"})),
                     "freeze.frozen=stop");
  ASSERT_TRUE(freeze.WaitUntilStopped(Soon()));
  EXPECT_TRUE(freeze.KillGuardian());
  freeze.Signal(SIGKILL);
  (void)freeze.Wait();
  ExpectAll(CgroupState::kFrozen);
  EXPECT_EQ(ckpt_.Run({"recover"}).exit_status, 0);
  ExpectAll(CgroupState::kThawed);
}

TEST_P(GroupSetTest, ALeaseIsOneForEachGroup) {
  ASSERT_EQ(Ckpt({"freeze", "--for", "1h"}).exit_status, 0);
  ASSERT_EQ(ckpt_.Run({"thaw", "--cgroup", groups_[0]->path()}).exit_status, 0);
  Expect(*groups_[0], CgroupState::kThawed);
  Expect(*groups_[1], CgroupState::kFrozen);
  ASSERT_EQ(ckpt_
                .Run({"freeze", "--for", "100ms", "--cgroup",
                      groups_[1]->path(), "--cgroup", groups_[2]->path()})
                .exit_status,
            0);
  ExpectAll(CgroupState::kThawed);
}

}  // namespace
}  // namespace ckpt
