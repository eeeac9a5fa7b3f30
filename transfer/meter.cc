#include "transfer/meter.h"

#include <algorithm>
#include <cmath>

namespace ckpt::transfer {
namespace {

constexpr absl::Duration kTellEvery = absl::Milliseconds(250);
// The rate is that of about the last three seconds.
constexpr double kRateSeconds = 3;

}  // namespace

Meter::Meter(OnProgress on_progress, Clock& clock)
    : on_progress_(std::move(on_progress)),
      clock_(clock),
      begun_(clock.Now()),
      told_(begun_) {}

void Meter::SetTotal(uint64_t bytes) {
  const absl::MutexLock lock(&mutex_);
  total_ = bytes;
}

void Meter::Restart(uint64_t done) {
  const absl::MutexLock lock(&mutex_);
  done_ = done;
  told_done_ = done;
  told_ = clock_.Now();
}

void Meter::Add(const Bytes& bytes) {
  const absl::MutexLock lock(&mutex_);
  done_ += bytes.done;
  wire_ += bytes.wire;
  const absl::Time now = clock_.Now();
  if (now - told_ >= kTellEvery) Tell(now);
}

void Meter::Finish() {
  const absl::MutexLock lock(&mutex_);
  Tell(clock_.Now());
}

uint64_t Meter::wire_bytes() const {
  const absl::MutexLock lock(&mutex_);
  return wire_;
}

void Meter::Tell(absl::Time now) {
  const double seconds = absl::ToDoubleSeconds(now - told_);
  if (seconds > 0) {
    const double rate = static_cast<double>(done_ - told_done_) / seconds;
    const double weight = 1 - std::exp(-seconds / kRateSeconds);
    rate_ = rate_ == 0 ? rate : rate_ + weight * (rate - rate_);
  }
  told_ = now;
  told_done_ = done_;
  if (on_progress_ == nullptr) return;
  v1::OperationProgress progress;
  progress.set_bytes_total(total_);
  progress.set_bytes_done(done_);
  progress.set_bytes_wire(wire_);
  progress.set_bytes_per_second(rate_);
  if (total_ > 0) {
    const auto total = static_cast<double>(total_);
    const auto done = static_cast<double>(std::min(done_, total_));
    progress.set_percent(100 * done / total);
    if (rate_ > 0) progress.set_eta_seconds((total - done) / rate_);
  }
  on_progress_(progress);
}

}  // namespace ckpt::transfer
