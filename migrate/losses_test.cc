// Every loss at every step of a migration, alone and in pairs: one copy of the
// job runs in the end, never two do, and none runs that is older than another
// that ran.
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "migrate/losses_world.h"

namespace ckpt::migrate {
namespace {

// No migration that is hit twice has more steps.
constexpr int kLastStep = 90;

std::string Describe(const std::vector<PlannedFault>& plan) {
  std::string text;
  for (const PlannedFault& planned : plan) {
    absl::StrAppend(&text, "fault ", static_cast<int>(planned.fault),
                    " at step ", planned.step, "; ");
  }
  return text;
}

// What became of it.
std::string Try(const std::vector<PlannedFault>& plan, int& steps) {
  LossesWorld world(plan);
  world.Migrate();
  world.Settle();
  steps = world.steps();
  return world.problem();
}

TEST(LossesTest, NothingLostMovesTheJob) {
  LossesWorld world({});
  world.Migrate();
  EXPECT_EQ(world.result(), absl::OkStatus());
  world.Settle();
  EXPECT_EQ(world.problem(), "");
  EXPECT_TRUE(world.runs_at(LossesWorld::kDestination));
}

TEST(LossesTest, OneLossAtAnyStepLeavesOneCopy) {
  for (int step = 1; step <= kLastStep; ++step) {
    for (const Fault fault : kFaults) {
      const std::vector<PlannedFault> plan = {{fault, step}};
      int steps = 0;
      ASSERT_EQ(Try(plan, steps), "") << Describe(plan);
      ASSERT_LE(steps, kLastStep) << Describe(plan);
    }
  }
}

TEST(LossesTest, TwoLossesAtAnyStepsLeaveOneCopy) {
  for (int first = 1; first <= kLastStep; ++first) {
    for (const Fault fault : kFaults) {
      for (int second = first + 1; second <= kLastStep; ++second) {
        for (const Fault other : kFaults) {
          const std::vector<PlannedFault> plan = {{fault, first},
                                                  {other, second}};
          int steps = 0;
          ASSERT_EQ(Try(plan, steps), "") << Describe(plan);
          if (steps < second) break;  // it was over before
        }
      }
    }
  }
}

TEST(LossesTest, LossBeforeTheDecisionGivesTheJobBackAtOnce) {
  // The request that asks the destination to hold the job is lost.
  for (int step = 1; step <= kLastStep; ++step) {
    LossesWorld world({{Fault::kLose, step}});
    world.Migrate();
    if (world.result().ok()) continue;
    const bool decided =
        absl::StrContains(world.result().message(), "has left");
    EXPECT_NE(world.runs_at(LossesWorld::kSource), decided) << step;
  }
}

// The source sends, or asks for the job to be held, when its place is not kept
// any more: it is told so, and has its job.
TEST(LossesTest, ExpiredPlaceGivesTheJobBack) {
  int expired = 0;
  for (int step = 1; step <= kLastStep; ++step) {
    LossesWorld world({{Fault::kSilence, step}});
    world.Migrate();
    if (world.result().ok()) continue;
    ++expired;
    EXPECT_TRUE(absl::IsFailedPrecondition(world.result())) << world.result();
    // Nothing else ever expires.
    EXPECT_EQ(world.knobs().silent_in, v1::MIGRATION_STATE_RESERVED) << step;
    EXPECT_TRUE(world.runs_at(LossesWorld::kSource)) << step;
    EXPECT_EQ(world.state_at(LossesWorld::kSource), v1::MIGRATION_STATE_CLOSED);
    EXPECT_EQ(world.state_at(LossesWorld::kDestination),
              v1::MIGRATION_STATE_DROPPED);
    world.Settle();
    EXPECT_EQ(world.problem(), "") << step;
  }
  EXPECT_GT(expired, 0);
}

// While it waits for ckpt ops continue, the destination loses what it holds,
// and cannot build it again.
TEST(LossesTest, NothingIsDecidedForADestinationThatHoldsNothing) {
  LossesWorld world({});
  world.knobs().pause = [&world] { world.knobs().spoiled = true; };
  world.Migrate();
  EXPECT_TRUE(absl::IsDataLoss(world.result())) << world.result();
  EXPECT_TRUE(world.runs_at(LossesWorld::kSource));
  world.Settle();
  EXPECT_EQ(world.problem(), "");
}

TEST(LossesTest, FullDiskAfterTheDecisionDoesNotKeepTheJobFromRunning) {
  LossesWorld world({});
  world.knobs().full_after_decision = true;
  world.Migrate();
  EXPECT_EQ(world.result(), absl::OkStatus());
  EXPECT_TRUE(world.runs_at(LossesWorld::kDestination));
  EXPECT_EQ(world.state_at(LossesWorld::kSource), v1::MIGRATION_STATE_READY);
  world.knobs().full_after_decision = false;
  world.Settle();
  EXPECT_EQ(world.problem(), "");
  EXPECT_EQ(world.state_at(LossesWorld::kSource), v1::MIGRATION_STATE_DONE);
}

TEST(LossesTest, LossesAfterTheDecisionOnAFullDiskAreUnavailable) {
  for (int step = 1; step <= kLastStep; ++step) {
    LossesWorld world({{Fault::kLose, step}});
    world.knobs().full_after_decision = true;
    world.Migrate();
    if (!absl::StrContains(world.result().message(), "has left")) continue;
    EXPECT_TRUE(absl::IsUnavailable(world.result())) << world.result();
    world.knobs().full_after_decision = false;
    world.Settle();
    EXPECT_EQ(world.problem(), "") << step;
  }
}

TEST(LossesTest, DecisionThatCannotBeReadIsNotTakenForNone) {
  LossesWorld world({});
  // The disk fails when the file is there.
  world.knobs().pause = [&world] { world.knobs().unreadable = true; };
  world.Migrate();
  EXPECT_TRUE(absl::IsUnavailable(world.result())) << world.result();
  EXPECT_NE(world.state_at(LossesWorld::kSource), v1::MIGRATION_STATE_ABORTED);
  world.knobs().unreadable = false;
  world.Settle();
  EXPECT_EQ(world.problem(), "");
  EXPECT_TRUE(world.runs_at(LossesWorld::kDestination));
}

// Wherever the source's machine loses its power before the decision, it does
// not say that the job stays there, once it may be the image that is left.
TEST(LossesTest, SourceThatLostItsKernelDoesNotSayThatTheJobStays) {
  for (int step = 1; step <= kLastStep; ++step) {
    LossesWorld world({{Fault::kEndSourceNode, step}});
    world.Migrate();
    const v1::MigrationState before = world.state_at(LossesWorld::kSource);
    if (before != v1::MIGRATION_STATE_LEAVING &&
        before != v1::MIGRATION_STATE_READY) {
      continue;
    }
    world.Settle();
    EXPECT_EQ(world.problem(), "") << step;
    EXPECT_TRUE(world.state_at(LossesWorld::kSource) ==
                    v1::MIGRATION_STATE_LOST ||
                world.runs_at(LossesWorld::kDestination))
        << step;
  }
}

}  // namespace
}  // namespace ckpt::migrate
