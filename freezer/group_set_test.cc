#include "freezer/group_set.h"

#include <signal.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "gtest/gtest.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/support/test_dir.h"

namespace ckpt::freezer {
namespace {

constexpr size_t kGroups = 8;

absl::Time Soon() { return Clock::Real().Now() + absl::Minutes(1); }

class GroupSetTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    BecomeReaper();
    for (size_t i = 0; i < kGroups; ++i) {
      auto group = TestCgroup::Create(GetParam());
      ASSERT_TRUE(group.ok()) << group.status();
      groups_.push_back(*std::move(group));
      const auto job = Job::Start({.argv = {"/bin/sleep", "1000"},
                                   .env = {},
                                   .cgroups = {groups_.back().get()}});
      ASSERT_TRUE(job.ok()) << job.status();
    }
  }

  std::unique_ptr<GuardedGroups> Take(
      const GuardedGroups::Options& options = {}) {
    std::vector<std::unique_ptr<Cgroup>> opened;
    for (const auto& group : groups_) {
      auto one = OpenCgroup(group->path());
      EXPECT_TRUE(one.ok()) << one.status();
      opened.push_back(*std::move(one));
    }
    auto guarded = GuardedGroups::Take(std::move(opened), options, journal_);
    EXPECT_TRUE(guarded.ok()) << guarded.status();
    return *std::move(guarded);
  }

  void Expect(CgroupState state) {
    for (const auto& group : groups_) {
      EXPECT_EQ(group->AwaitState(state, Soon()), absl::OkStatus());
    }
  }

  const TestDir dir_;
  Journal journal_{dir_.File("journal")};
  std::vector<std::unique_ptr<TestCgroup>> groups_;
};

INSTANTIATE_TEST_SUITE_P(All, GroupSetTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

TEST_P(GroupSetTest, FreezesAndThawsAll) {
  const auto guarded = Take();
  EXPECT_EQ(journal_.List()->size(), kGroups);
  const v1::FreezeSetReport frozen =
      FreezeAll(*guarded, {.each = {.deadline = Soon()}});
  EXPECT_EQ(FirstError(frozen), absl::OkStatus());
  ASSERT_EQ(frozen.groups_size(), static_cast<int>(kGroups));
  for (size_t i = 0; i < kGroups; ++i) {
    EXPECT_EQ(frozen.groups(static_cast<int>(i)).cgroup(), groups_[i]->path());
  }
  Expect(CgroupState::kFrozen);
  EXPECT_EQ(FirstError(ThawAll(*guarded, {.each = {.deadline = Soon()}})),
            absl::OkStatus());
  Expect(CgroupState::kThawed);
  EXPECT_EQ(guarded->Release(), absl::OkStatus());
  EXPECT_TRUE(journal_.List()->empty());
}

TEST_P(GroupSetTest, AllOrNothingGivesAllBack) {
  const auto guarded = Take();
  // No time is left: none can be frozen.
  const v1::FreezeSetReport report = FreezeAll(
      *guarded,
      {.each = {.deadline = Clock::Real().Now()}, .all_or_nothing = true});
  EXPECT_TRUE(report.rolled_back());
  EXPECT_EQ(FirstError(report).code(), absl::StatusCode::kDeadlineExceeded);
  Expect(CgroupState::kThawed);
}

TEST_P(GroupSetTest, AGroupThatIsHeldByAnotherIsSkipped) {
  const auto other = OpenCgroup(groups_[1]->path());
  ASSERT_TRUE(other.ok());
  const auto lock = (*other)->Lock();
  ASSERT_TRUE(lock.ok());
  const auto guarded = Take({.skip_refused = true});
  EXPECT_EQ(guarded->taken(1).code(), absl::StatusCode::kUnavailable);
  const v1::FreezeSetReport report =
      FreezeAll(*guarded, {.each = {.deadline = Soon()}});
  EXPECT_EQ(report.groups(0).code(), 0);
  EXPECT_EQ(FirstError(report).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(groups_[1]->AwaitState(CgroupState::kThawed, Soon()),
            absl::OkStatus());
}

TEST_P(GroupSetTest, KillsAll) {
  const auto guarded = Take();
  const v1::KillSetReport report =
      KillAll(*guarded, SIGKILL, {.deadline = Soon()});
  EXPECT_EQ(FirstError(report), absl::OkStatus());
  for (const v1::KillSetEntry& entry : report.groups()) {
    EXPECT_EQ(entry.report().processes(), 1);
    EXPECT_TRUE(entry.report().empty());
  }
}

}  // namespace
}  // namespace ckpt::freezer
