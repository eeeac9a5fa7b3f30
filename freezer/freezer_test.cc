// What only a fake kernel can be made to do; the contract suite has the rest.
#include "freezer/freezer.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "base/fake_clock.h"
#include "freezer/fake_cgroup.h"
#include "freezer/frozen_scope.h"
#include "gtest/gtest.h"

namespace ckpt::freezer {
namespace {

class FreezerTest : public testing::TestWithParam<v1::Hierarchy> {
 protected:
  FreezerTest()
      : kernel_(GetParam(), clock_),
        group_(kernel_.MakeGroup("/job")),
        freezer_(*group_, kernel_.proc(), clock_) {}

  FreezeOptions Within(absl::Duration limit) {
    return {.deadline = clock_.Now() + limit};
  }

  FakeClock clock_;
  FakeKernel kernel_;
  const std::unique_ptr<Cgroup> group_;
  Freezer freezer_;
};

TEST_P(FreezerTest, SlowTaskIsWaitedFor) {
  kernel_.AddProcess("/job", {.freeze = {.after = absl::Seconds(3)}});

  const auto report = freezer_.Freeze(Within(absl::Seconds(4)));

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_GE(report->seconds(), 3);
  EXPECT_LT(report->seconds(), 3.1);
}

TEST_P(FreezerTest, TaskThatIsTooSlowFailsTheFreezeAtTheDeadline) {
  kernel_.AddProcess("/job", {.freeze = {.after = absl::Seconds(3)}});
  const absl::Time deadline = clock_.Now() + absl::Seconds(2);

  const auto report = freezer_.Freeze({.deadline = deadline});

  EXPECT_EQ(report.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_GE(clock_.Now(), deadline);
  EXPECT_LT(clock_.Now(), deadline + absl::Milliseconds(50));
}

TEST_P(FreezerTest, TaskThatFreezesOnlyWhenLookedAtAgainIsFrozen) {
  kernel_.AddProcess("/job", {.freeze = {.after_reads = 4}});
  EXPECT_TRUE(freezer_.Freeze(Within(absl::Seconds(4))).ok());
}

TEST_P(FreezerTest, ChildrenForkedMeanwhileAreCounted) {
  kernel_.AddProcess("/job", {.threads = 2, .forks = 5});
  const auto report = freezer_.Freeze(Within(absl::Seconds(4)));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->threads(), 12);  // 2, and 5 of each
}

TEST_P(FreezerTest, TaskThatJoinsWhileFreezingIsCounted) {
  kernel_.AddProcess("/job", {.freeze = {.after = absl::Milliseconds(5)}});
  clock_.on_sleep = [&] {
    clock_.on_sleep = nullptr;
    kernel_.AddProcess("/job", {.freeze = {.after = absl::Milliseconds(50)}});
  };
  const auto report = freezer_.Freeze(Within(absl::Seconds(4)));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->threads(), 2);
}

TEST_P(FreezerTest, GroupThatVanishesWhileFreezingAborts) {
  kernel_.AddProcess("/job", {.freeze = {.never = true}});
  clock_.on_sleep = [&] {
    clock_.on_sleep = nullptr;
    kernel_.RemoveGroup("/job");
  };
  const auto report = freezer_.Freeze(Within(absl::Seconds(4)));
  EXPECT_EQ(report.status().code(), absl::StatusCode::kAborted)
      << report.status();
}

// The group is FROZEN then, but not for long: only the ancestor asks for it.
TEST_P(FreezerTest, RequestTakenBackUnderAFrozenAncestorAborts) {
  const auto inner = kernel_.MakeGroup("/job/inner");
  kernel_.AddProcess("/job/inner",
                     {.freeze = {.after = absl::Milliseconds(5)}});
  ASSERT_TRUE(freezer_.WriteRequest(true).ok());
  Freezer freezer(*inner, kernel_.proc(), clock_);
  clock_.on_sleep = [&] {
    if (clock_.Now() < absl::FromUnixMillis(1'000'005)) return;
    (void)Freezer(*inner, kernel_.proc(), clock_).WriteRequest(false);
  };

  const auto report = freezer.Freeze(Within(absl::Seconds(4)));

  EXPECT_EQ(report.status().code(), absl::StatusCode::kAborted)
      << report.status();
}

TEST_P(FreezerTest, FailedFreezeUnderAFrozenAncestorTakesItsRequestBack) {
  const auto inner = kernel_.MakeGroup("/job/inner");
  kernel_.AddProcess("/job/inner", {.freeze = {.never = true}});
  ASSERT_TRUE(freezer_.WriteRequest(true).ok());
  Freezer freezer(*inner, kernel_.proc(), clock_);

  const auto report = freezer.Freeze(Within(absl::Seconds(1)));

  EXPECT_EQ(report.status().code(), absl::StatusCode::kUnavailable);
  const auto status = freezer.GetStatus(/*with_tasks=*/false);
  EXPECT_FALSE(status->self_freezing());
  EXPECT_EQ(status->state(), v1::FREEZER_STATE_FREEZING);
}

TEST_P(FreezerTest, MessageOfAFailedFreezeSaysWhoWhereAndWhatNow) {
  kernel_.AddProcess("/job", {.pid = 7'000'000,
                              .comm = "reader",
                              .freeze = {.never = true},
                              .wchan = "fuse_wait"});
  const auto report = freezer_.Freeze(Within(absl::Seconds(2)));
  const absl::string_view message = report.status().message();
  for (const char* part :
       {group_->path().c_str(), "2s", "EBUSY",
        "7000000 (reader, state S, in fuse_wait)", "THAWED again", "retry"}) {
    EXPECT_TRUE(absl::StrContains(message, part)) << part << ": " << message;
  }
}

TEST_P(FreezerTest, BlockersAreLookedAtSoonAfterTheRequest) {
  kernel_.AddProcess("/job", {.freeze = {.never = true}});

  const auto result = freezer_.Freeze(Within(absl::Seconds(2)));

  v1::FreezeReport report;
  ASSERT_TRUE(report.ParseFromString(
      std::string(*result.status().GetPayload(kReportUrl))));
  ASSERT_EQ(report.blockers_size(), 1);
  EXPECT_GE(report.blockers(0).blocked_seconds(), 1.85);
  EXPECT_LE(report.blockers(0).blocked_seconds(), 2.05);
}

TEST_P(FreezerTest, MessageNamesFiveBlockersAndCountsTheOthers) {
  for (int i = 0; i < 7; ++i) {
    kernel_.AddProcess("/job", {.freeze = {.never = true}});
  }
  const auto result = freezer_.Freeze(Within(absl::Seconds(1)));
  EXPECT_TRUE(absl::StrContains(result.status().message(), " and 2 more;"))
      << result.status();
}

INSTANTIATE_TEST_SUITE_P(Hierarchies, FreezerTest,
                         testing::Values(v1::HIERARCHY_V1, v1::HIERARCHY_V2),
                         [](const auto& info) {
                           return std::string(HierarchyName(info.param));
                         });

}  // namespace
}  // namespace ckpt::freezer
