#include "base/clock.h"

#include <cerrno>
#include <ctime>

namespace ckpt {
namespace {

class RealClock : public Clock {
 public:
  absl::Time Now() override {
    timespec now;
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return absl::TimeFromTimespec(now);
  }

  void Sleep(absl::Duration duration) override {
    if (duration <= absl::ZeroDuration()) return;
    timespec rest = absl::ToTimespec(duration);
    while (::nanosleep(&rest, &rest) != 0 && errno == EINTR) {
    }
  }
};

}  // namespace

Clock& Clock::Real() {
  static RealClock& clock = *new RealClock;
  return clock;
}

}  // namespace ckpt
