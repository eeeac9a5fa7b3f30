#include "migrate/progress.h"

#include "absl/time/time.h"
#include "base/fake_clock.h"
#include "gtest/gtest.h"

namespace ckpt::migrate {
namespace {

constexpr uint64_t kMiB = 1 << 20;

class ProgressTest : public testing::Test {
 protected:
  void Send(uint64_t mib, uint64_t total_mib, double mib_per_second) {
    v1::OperationProgress transfer;
    transfer.set_bytes_done(mib * kMiB);
    transfer.set_bytes_total(total_mib * kMiB);
    transfer.set_bytes_per_second(mib_per_second * kMiB);
    progress_.Sent(transfer);
  }
  void Pass(double seconds) { clock_.Sleep(absl::Seconds(seconds)); }

  FakeClock clock_;
  v1::Phase phase_ = v1::PHASE_UNSPECIFIED;
  v1::OperationProgress now_;
  Progress progress_{[this](v1::Phase phase, const v1::OperationProgress& now) {
                       phase_ = phase;
                       now_ = now;
                     },
                     clock_};
};

TEST_F(ProgressTest, NothingIsExpectedBeforeTheFreeze) {
  progress_.SetExpectedBytes(100 * kMiB);
  progress_.Enter(v1::PHASE_PREFLIGHT);
  Pass(1);
  progress_.Tick();
  EXPECT_EQ(phase_, v1::PHASE_PREFLIGHT);
  EXPECT_EQ(now_.expected_downtime_seconds(), 0);
  EXPECT_EQ(now_.downtime_seconds(), 0);
  EXPECT_EQ(now_.bytes_total(), 100 * kMiB);
}

TEST_F(ProgressTest, WhileCriuWritesTheRestoreIsTakenToLastAsLongAsTheDumpHas) {
  progress_.SetExpectedBytes(100 * kMiB);
  progress_.Enter(v1::PHASE_FREEZE);
  Pass(2);
  progress_.Enter(v1::PHASE_WRITE);
  Send(40, 0, 20);
  EXPECT_DOUBLE_EQ(now_.percent(), 40);
  EXPECT_DOUBLE_EQ(now_.downtime_seconds(), 2);
  // 60 MiB at 20 MiB/s, and 2 s.
  EXPECT_DOUBLE_EQ(now_.eta_seconds(), 5);
  EXPECT_DOUBLE_EQ(now_.expected_downtime_seconds(), 7);
}

TEST_F(ProgressTest, SizeOfTheWholeImageTakesThePlaceOfTheEstimate) {
  progress_.SetExpectedBytes(100 * kMiB);
  progress_.Enter(v1::PHASE_FREEZE);
  Pass(1);
  progress_.Enter(v1::PHASE_COMMIT);
  Pass(1);
  Send(40, 50, 10);
  EXPECT_EQ(now_.bytes_total(), 50 * kMiB);
  // 10 MiB at 10 MiB/s, and the dump's 1 s.
  EXPECT_DOUBLE_EQ(now_.expected_downtime_seconds(), 4);
}

TEST_F(ProgressTest, EstimateThatIsTooLowIsDropped) {
  progress_.SetExpectedBytes(10 * kMiB);
  progress_.Enter(v1::PHASE_FREEZE);
  Send(20, 0, 10);
  EXPECT_EQ(now_.bytes_total(), 0);
  EXPECT_EQ(now_.percent(), 0);
  EXPECT_EQ(now_.expected_downtime_seconds(), 0);
}

TEST_F(ProgressTest, RestoreThatLastsLongerMovesTheEnd) {
  progress_.Enter(v1::PHASE_FREEZE);
  Pass(3);
  progress_.Enter(v1::PHASE_COMMIT);
  Send(50, 50, 10);
  EXPECT_DOUBLE_EQ(now_.expected_downtime_seconds(), 6);
  progress_.Enter(v1::PHASE_BUILD);
  Pass(1);
  progress_.Tick();
  EXPECT_DOUBLE_EQ(now_.eta_seconds(), 2);
  EXPECT_DOUBLE_EQ(now_.expected_downtime_seconds(), 6);
  Pass(4);
  progress_.Tick();
  EXPECT_DOUBLE_EQ(now_.eta_seconds(), 0);
  EXPECT_DOUBLE_EQ(now_.expected_downtime_seconds(), 8);
}

TEST_F(ProgressTest, EndTellsTheDowntimeThatWas) {
  progress_.Enter(v1::PHASE_FREEZE);
  progress_.SetFrozenAt(clock_.Now() + absl::Seconds(1));
  Pass(2);
  progress_.Enter(v1::PHASE_RELEASE);
  EXPECT_DOUBLE_EQ(now_.downtime_seconds(), 1);
  progress_.Finish(absl::Seconds(1.5));
  EXPECT_DOUBLE_EQ(now_.downtime_seconds(), 1.5);
  EXPECT_DOUBLE_EQ(now_.percent(), 100);
  Pass(1);
  progress_.Tick();
  EXPECT_DOUBLE_EQ(now_.downtime_seconds(), 1.5);
}

}  // namespace
}  // namespace ckpt::migrate
