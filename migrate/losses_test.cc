// Every loss at every step of a migration, alone and in pairs: one copy of the
// job runs in the end, never two do, and none runs that is older than another
// that ran.
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "migrate/fake_world.h"

namespace ckpt::migrate {
namespace {

constexpr Fault kFaults[] = {Fault::kKillSource, Fault::kKillDestination,
                             Fault::kKillBoth, Fault::kLose, Fault::kFail};
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
  World world(plan);
  world.Migrate();
  world.Settle();
  steps = world.steps();
  return world.problem();
}

TEST(LossesTest, NothingLostMovesTheJob) {
  World world({});
  world.Migrate();
  EXPECT_EQ(world.result(), absl::OkStatus());
  world.Settle();
  EXPECT_EQ(world.problem(), "");
  EXPECT_TRUE(world.runs_at(World::kDestination));
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
    World world({{Fault::kLose, step}});
    world.Migrate();
    if (world.result().ok()) continue;
    const bool decided =
        absl::StrContains(world.result().message(), "has left");
    EXPECT_NE(world.runs_at(World::kSource), decided) << step;
  }
}

}  // namespace
}  // namespace ckpt::migrate
