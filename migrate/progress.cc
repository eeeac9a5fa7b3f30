#include "migrate/progress.h"

#include <algorithm>

namespace ckpt::migrate {

void Progress::SetExpectedBytes(uint64_t bytes) {
  const absl::MutexLock lock(&mutex_);
  expected_bytes_ = bytes;
}

void Progress::Enter(v1::Phase phase) {
  const absl::MutexLock lock(&mutex_);
  phase_ = phase;
  const absl::Time now = clock_.Now();
  if (phase == v1::PHASE_FREEZE) frozen_ = std::min(frozen_, now);
  if (phase == v1::PHASE_COMMIT) written_ = std::min(written_, now);
  if (phase == v1::PHASE_BUILD) building_ = std::min(building_, now);
  Tell();
}

void Progress::SetFrozenAt(absl::Time frozen_at) {
  const absl::MutexLock lock(&mutex_);
  frozen_ = frozen_at;
}

void Progress::Sent(const v1::OperationProgress& transfer) {
  const absl::MutexLock lock(&mutex_);
  now_ = transfer;
  is_estimate_ = transfer.bytes_total() == 0;
  Tell();
}

void Progress::Finish(absl::Duration downtime) {
  const absl::MutexLock lock(&mutex_);
  done_ = true;
  now_.set_eta_seconds(0);
  now_.set_percent(100);
  now_.set_downtime_seconds(absl::ToDoubleSeconds(downtime));
  if (on_change_ != nullptr) on_change_(phase_, now_);
}

void Progress::Tick() {
  const absl::MutexLock lock(&mutex_);
  if (!done_) Tell();
}

absl::Duration Progress::Left(absl::Time now) const {
  if (frozen_ > now) return absl::InfiniteDuration();
  const absl::Duration restore = std::min(written_, now) - frozen_;
  if (building_ <= now) {
    return std::max(restore - (now - building_), absl::ZeroDuration());
  }
  const uint64_t total = now_.bytes_total();
  const uint64_t done = std::min(now_.bytes_done(), total);
  if (done == total && total > 0) return restore;
  if (total == 0 || now_.bytes_per_second() <= 0) {
    return absl::InfiniteDuration();
  }
  return absl::Seconds(static_cast<double>(total - done) /
                       now_.bytes_per_second()) +
         restore;
}

void Progress::Tell() {
  if (on_change_ == nullptr) return;
  const absl::Time now = clock_.Now();
  if (is_estimate_) {
    // What has left is more than was expected: no estimate is left.
    const bool holds = now_.bytes_done() <= expected_bytes_;
    now_.set_bytes_total(holds ? expected_bytes_ : 0);
    now_.set_percent(holds && expected_bytes_ > 0
                         ? 100 * static_cast<double>(now_.bytes_done()) /
                               static_cast<double>(expected_bytes_)
                         : 0);
  }
  const absl::Duration left = Left(now);
  const bool known = left < absl::InfiniteDuration();
  now_.set_eta_seconds(known ? absl::ToDoubleSeconds(left) : 0);
  if (frozen_ <= now) {
    const absl::Duration down = now - frozen_;
    now_.set_downtime_seconds(absl::ToDoubleSeconds(down));
    now_.set_expected_downtime_seconds(
        known ? absl::ToDoubleSeconds(down + left) : 0);
  }
  on_change_(phase_, now_);
}

}  // namespace ckpt::migrate
