// Simulated time: Sleep() returns at once and moves Now().
#ifndef CKPT_BASE_FAKE_CLOCK_H_
#define CKPT_BASE_FAKE_CLOCK_H_

#include <functional>

#include "absl/time/time.h"
#include "base/clock.h"

namespace ckpt {

// Not thread-safe.
class FakeClock : public Clock {
 public:
  absl::Time Now() override { return now_; }
  void Sleep(absl::Duration duration) override {
    now_ += duration;
    if (on_sleep) on_sleep();
  }

  // Called after every Sleep: what "meanwhile" happens in the fake world.
  std::function<void()> on_sleep;

 private:
  absl::Time now_ = absl::FromUnixSeconds(1000);
};

}  // namespace ckpt

#endif  // CKPT_BASE_FAKE_CLOCK_H_
