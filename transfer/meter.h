// How far a transfer is, how fast, and how long it will take.
//
//   Meter meter(on_progress);
//   meter.SetTotal(bytes);
//   meter.Add({.done = 4096, .wire = 100});
//
// Thread-safe.
#ifndef CKPT_TRANSFER_METER_H_
#define CKPT_TRANSFER_METER_H_

#include <cstdint>
#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "proto/transfer.pb.h"

namespace ckpt::transfer {

class Meter {
 public:
  using OnProgress = std::function<void(const v1::OperationProgress&)>;

  // `on_progress` may be null.  The clock is borrowed.
  explicit Meter(OnProgress on_progress, Clock& clock = Clock::Real());

  struct Bytes {
    uint64_t done = 0;  // of the image
    uint64_t wire = 0;
  };

  void SetTotal(uint64_t bytes);
  void Add(const Bytes& bytes);
  // Back to nothing done but `done`, which had arrived before.
  void Restart(uint64_t done);
  // Tells once more, of the end.
  void Finish();

  uint64_t wire_bytes() const;
  absl::Duration elapsed() const { return clock_.Now() - begun_; }

 private:
  void Tell(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const OnProgress on_progress_;
  Clock& clock_;
  const absl::Time begun_;
  mutable absl::Mutex mutex_;
  uint64_t total_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t done_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t wire_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time told_ ABSL_GUARDED_BY(mutex_);
  uint64_t told_done_ ABSL_GUARDED_BY(mutex_) = 0;
  double rate_ ABSL_GUARDED_BY(mutex_) = 0;  // bytes a second
};

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_METER_H_
