// `ckpt verify-freeze`: is a checkpoint legal now?  On both kernels' freezers.

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/support/blocked_task.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {
namespace {

constexpr int kLegal = 0;
constexpr int kInvalidArgument = 3;
constexpr int kNotFound = 5;
constexpr int kIllegal = 9;

using absl::StrContains;

class VerifyFreezeTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    BecomeReaper();
    auto group = TestCgroup::Create(GetParam());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }

  std::unique_ptr<TestCgroup> MakeChild(const std::string& name) {
    auto child = group_->CreateChild(name);
    EXPECT_TRUE(child.ok()) << child.status();
    return *std::move(child);
  }

  // A shell with one sleeping child, both in `group`.
  void StartTree(const TestCgroup& group) {
    Job::Options options;
    options.argv = {"/bin/sh", "-c", "sleep 1000 & wait"};
    options.cgroups = {&group};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    root_ = job->pid();
    const absl::Time deadline = Soon();
    std::vector<pid_t> tree;
    while (tree.size() < 2 && Clock::Real().Now() < deadline) {
      tree = job->Tree().value_or(std::vector<pid_t>());
    }
    ASSERT_EQ(tree.size(), 2u);
    child_ = tree.back();
  }

  void Freeze(const TestCgroup& group) {
    ASSERT_EQ(group.RequestFreeze(), absl::OkStatus());
    ASSERT_EQ(group.AwaitState(CgroupState::kFrozen, Soon()), absl::OkStatus());
  }

  CommandResult Verify(const TestCgroup& group,
                       std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"verify-freeze", "--cgroup", group.path(),
                                      "--tree", absl::StrCat(root_)};
    words.insert(words.end(), more.begin(), more.end());
    return ckpt_.Run(words);
  }

  CkptRunner ckpt_;
  std::unique_ptr<TestCgroup> group_;
  pid_t root_ = 0;
  pid_t child_ = 0;
};

TEST_P(VerifyFreezeTest, FrozenTreeIsLegalAndStaysAsItIs) {
  ASSERT_NO_FATAL_FAILURE(StartTree(*group_));
  ASSERT_NO_FATAL_FAILURE(Freeze(*group_));
  const CommandResult result = Verify(*group_);
  EXPECT_EQ(result.exit_status, kLegal) << result.err;
  EXPECT_TRUE(StrContains(result.out, "2 processes (2 threads)")) << result.out;
  EXPECT_TRUE(StrContains(result.out, "by its own request")) << result.out;
  EXPECT_EQ(group_->State().value_or(CgroupState::kThawed),
            CgroupState::kFrozen);
}

TEST_P(VerifyFreezeTest, ThawedGroupIsIllegal) {
  ASSERT_NO_FATAL_FAILURE(StartTree(*group_));
  const CommandResult result = Verify(*group_);
  EXPECT_EQ(result.exit_status, kIllegal);
  EXPECT_TRUE(StrContains(result.err, "is THAWED")) << result.err;
}

TEST_P(VerifyFreezeTest, BlockerIsNamed) {
  const auto blocked =
      BlockedTask::Start(BlockedTask::Kind::kPageFault, {group_.get()});
  ASSERT_TRUE(blocked.ok()) << blocked.status();
  root_ = (*blocked)->pid();
  ASSERT_EQ(group_->RequestFreeze(), absl::OkStatus());
  const CommandResult result = Verify(*group_);
  EXPECT_EQ(result.exit_status, kIllegal);
  EXPECT_TRUE(StrContains(result.err, "is FREEZING, not FROZEN; not frozen: "))
      << result.err;
  EXPECT_TRUE(StrContains(result.err, absl::StrCat(root_, " ("))) << result.err;
}

TEST_P(VerifyFreezeTest, StrayIsNamedUnlessItIsTheException) {
  const auto other = TestCgroup::Create(GetParam());
  ASSERT_TRUE(other.ok());
  ASSERT_NO_FATAL_FAILURE(StartTree(*group_));
  ASSERT_EQ((*other)->Add(root_), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(Freeze(*group_));

  const CommandResult without = Verify(*group_, {"--json"});
  EXPECT_EQ(without.exit_status, kIllegal);
  EXPECT_TRUE(StrContains(without.out, absl::StrCat("\"tid\": ", root_)))
      << without.out;
  EXPECT_TRUE(StrContains(without.err,
                          (*other)->path().substr((*other)->path().rfind('/'))))
      << without.err;

  const CommandResult with =
      Verify(*group_, {"--except", absl::StrCat(root_), "--json"});
  EXPECT_EQ(with.exit_status, kLegal) << with.err;
  EXPECT_TRUE(StrContains(with.out, absl::StrCat("\"except\": ", root_)))
      << with.out;
}

TEST_P(VerifyFreezeTest, GroupsBelowCountOnRequest) {
  const auto inner = MakeChild("inner");
  ASSERT_NO_FATAL_FAILURE(StartTree(*inner));
  ASSERT_NO_FATAL_FAILURE(Freeze(*group_));
  const CommandResult without = Verify(*group_);
  EXPECT_EQ(without.exit_status, kIllegal);
  EXPECT_TRUE(StrContains(without.err, "--subtree")) << without.err;
  const CommandResult with = Verify(*group_, {"--subtree"});
  EXPECT_EQ(with.exit_status, kLegal) << with.err;
  EXPECT_TRUE(StrContains(with.out, "and those below it")) << with.out;
}

TEST_P(VerifyFreezeTest, AncestorThatFreezesIsNamed) {
  const auto inner = MakeChild("inner");
  ASSERT_NO_FATAL_FAILURE(StartTree(*inner));
  ASSERT_NO_FATAL_FAILURE(Freeze(*group_));
  const CommandResult result = Verify(*inner);
  EXPECT_EQ(result.exit_status, kLegal) << result.err;
  EXPECT_TRUE(StrContains(
      result.out, absl::StrCat("frozen by its ancestor ", group_->path())))
      << result.out;
}

TEST_P(VerifyFreezeTest, WrongWordsAreRefused) {
  ASSERT_NO_FATAL_FAILURE(StartTree(*group_));
  ASSERT_NO_FATAL_FAILURE(Freeze(*group_));
  EXPECT_EQ(
      ckpt_.Run({"verify-freeze", "--cgroup", group_->path()}).exit_status,
      kInvalidArgument);
  EXPECT_EQ(Verify(*group_, {"--except", "1"}).exit_status, kInvalidArgument);
  EXPECT_EQ(ckpt_
                .Run({"verify-freeze", "--cgroup", group_->path(), "--tree",
                      "4194304"})
                .exit_status,
            kNotFound);
}

INSTANTIATE_TEST_SUITE_P(Freezers, VerifyFreezeTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const testing::TestParamInfo<CgroupVersion>& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

}  // namespace
}  // namespace ckpt
