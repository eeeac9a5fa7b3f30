// How far a migration is at its source: the phase, what of the image has left,
// how long the job stands still already, and how long it will have in the end.
//
//   Progress progress(on_change);
//   progress.SetExpectedBytes(record.needs().image_bytes());
//   progress.Enter(v1::PHASE_WRITE);      // of the dump, then BUILD, RELEASE
//   progress.Sent(transfer);              // as transfer::Push tells it
//   progress.Finish(downtime);
//
// The expected downtime is what has passed since the freeze, and
//   what of the image has not left, over the rate at which it leaves, and
//   the restore, which is taken to last as long as the dump (as it has so far,
//   while CRIU writes), less what has passed of it.
// It is not known before anything has left, and never less than what has
// passed.  eta_seconds is the same without what has passed.
//
// Thread-safe.
#ifndef CKPT_MIGRATE_PROGRESS_H_
#define CKPT_MIGRATE_PROGRESS_H_

#include <cstdint>
#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "proto/checkpoint.pb.h"
#include "proto/transfer.pb.h"

namespace ckpt::migrate {

class Progress {
 public:
  // Must not block and not call back.
  using OnChange =
      std::function<void(v1::Phase phase, const v1::OperationProgress& now)>;

  // `on_change` may be null.  The clock is borrowed.
  explicit Progress(OnChange on_change, Clock& clock = Clock::Real())
      : on_change_(std::move(on_change)), clock_(clock) {}

  // About as large as the image will be: counts until Sent() knows.
  void SetExpectedBytes(uint64_t bytes);

  // FREEZE is taken for the begin of the downtime, until SetFrozenAt() is
  // called, and BUILD for the begin of the restore.
  void Enter(v1::Phase phase);
  void SetFrozenAt(absl::Time frozen_at);

  void Sent(const v1::OperationProgress& transfer);

  // The job runs there.
  void Finish(absl::Duration downtime);

  // Tells what has changed by the mere passing of time.
  void Tick();

 private:
  void Tell() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What is left to be done; infinite: not known.
  absl::Duration Left(absl::Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const OnChange on_change_;
  Clock& clock_;
  absl::Mutex mutex_;
  v1::Phase phase_ ABSL_GUARDED_BY(mutex_) = v1::PHASE_UNSPECIFIED;
  v1::OperationProgress now_ ABSL_GUARDED_BY(mutex_);
  uint64_t expected_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_estimate_ ABSL_GUARDED_BY(mutex_) = true;  // now_.bytes_total()
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  // In the infinite future: it has not come to that.
  absl::Time frozen_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  absl::Time written_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  absl::Time building_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
};

}  // namespace ckpt::migrate

#endif  // CKPT_MIGRATE_PROGRESS_H_
