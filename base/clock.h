// Time as a seam: deadlines and waits go through a Clock, so that unit tests
// run on simulated time.
//
//   const absl::Time deadline = clock.Now() + timeout;
//
// Now() is CLOCK_MONOTONIC: use it for deadlines and intervals, never as a
// date.
#ifndef CKPT_BASE_CLOCK_H_
#define CKPT_BASE_CLOCK_H_

#include "absl/time/time.h"

namespace ckpt {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() = 0;
  virtual void Sleep(absl::Duration duration) = 0;

  // The real one; never destroyed.
  static Clock& Real();
};

}  // namespace ckpt

#endif  // CKPT_BASE_CLOCK_H_
