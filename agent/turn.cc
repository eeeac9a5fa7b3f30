#include "agent/turn.h"

namespace ckpt::agent {

bool Turn::Take(const std::function<void()>& start, absl::Duration limit,
                const std::function<void()>& cut_off) {
  const auto is_done = absl::Condition(
      +[](bool* busy) { return !*busy; }, &busy_);
  {
    const absl::MutexLock lock(&mutex_);
    busy_ = true;
    start();
    if (mutex_.AwaitWithTimeout(is_done, limit)) return ok_;
  }
  cut_off();
  const absl::MutexLock lock(&mutex_);
  // What a call that is cancelled was doing is done, too, with failure.
  mutex_.Await(is_done);
  return ok_;
}

void Turn::Done(bool ok) {
  const absl::MutexLock lock(&mutex_);
  busy_ = false;
  ok_ = ok;
}

}  // namespace ckpt::agent
