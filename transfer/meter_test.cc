#include "transfer/meter.h"

#include <vector>

#include "absl/time/time.h"
#include "base/fake_clock.h"
#include "gtest/gtest.h"
#include "proto/transfer.pb.h"

namespace ckpt::transfer {
namespace {

class MeterTest : public ::testing::Test {
 protected:
  // `count` times `done` bytes, each after `pause`.
  void AddEvery(absl::Duration pause, uint64_t done, int count) {
    for (int i = 0; i < count; ++i) {
      clock_.Sleep(pause);
      meter_.Add({.done = done, .wire = done / 2});
    }
  }

  FakeClock clock_;
  std::vector<v1::OperationProgress> told_;
  Meter meter_{
      [this](const v1::OperationProgress& now) { told_.push_back(now); },
      clock_};
};

TEST_F(MeterTest, TellsFourTimesASecondAtMost) {
  meter_.SetTotal(10'000);
  AddEvery(absl::Milliseconds(10), 10, 100);
  ASSERT_EQ(told_.size(), 4);
  EXPECT_EQ(told_[0].bytes_done(), 250);
  EXPECT_EQ(told_[3].bytes_done(), 1000);
  EXPECT_EQ(told_[3].bytes_wire(), 500);
  EXPECT_EQ(told_[3].bytes_total(), 10'000);
}

TEST_F(MeterTest, SteadyRateIsToldWithTheTimeThatIsLeft) {
  meter_.SetTotal(10'000);
  AddEvery(absl::Seconds(1), 100, 10);
  EXPECT_DOUBLE_EQ(told_.back().bytes_per_second(), 100);
  EXPECT_DOUBLE_EQ(told_.back().percent(), 10);
  EXPECT_DOUBLE_EQ(told_.back().eta_seconds(), 90);
}

TEST_F(MeterTest, RateFollowsOverSomeSeconds) {
  AddEvery(absl::Seconds(1), 100, 10);
  AddEvery(absl::Seconds(1), 1000, 1);
  EXPECT_GT(told_.back().bytes_per_second(), 200);
  EXPECT_LT(told_.back().bytes_per_second(), 500);
  AddEvery(absl::Seconds(1), 1000, 15);
  EXPECT_GT(told_.back().bytes_per_second(), 950);
}

TEST_F(MeterTest, NothingIsSaidOfAnEndThatIsNotKnown) {
  AddEvery(absl::Seconds(1), 100, 1);
  EXPECT_EQ(told_.back().percent(), 0);
  EXPECT_EQ(told_.back().eta_seconds(), 0);
}

TEST_F(MeterTest, WhatHadArrivedBeforeIsDoneButMakesNoRate) {
  meter_.SetTotal(10'000);
  clock_.Sleep(absl::Seconds(1));
  meter_.Restart(5000);
  AddEvery(absl::Seconds(1), 100, 1);
  EXPECT_EQ(told_.back().bytes_done(), 5100);
  EXPECT_DOUBLE_EQ(told_.back().bytes_per_second(), 100);
}

TEST_F(MeterTest, FinishTellsTheEnd) {
  meter_.SetTotal(100);
  meter_.Add({.done = 100, .wire = 40});
  EXPECT_TRUE(told_.empty());
  clock_.Sleep(absl::Milliseconds(100));
  meter_.Finish();
  ASSERT_EQ(told_.size(), 1);
  EXPECT_EQ(told_[0].percent(), 100);
  EXPECT_EQ(told_[0].eta_seconds(), 0);
  EXPECT_EQ(meter_.wire_bytes(), 40);
  EXPECT_EQ(meter_.elapsed(), absl::Milliseconds(100));
}

TEST_F(MeterTest, MoreThanTheTotalIsAHundredPercent) {
  meter_.SetTotal(100);
  AddEvery(absl::Seconds(1), 150, 1);
  EXPECT_EQ(told_.back().percent(), 100);
}

}  // namespace
}  // namespace ckpt::transfer
