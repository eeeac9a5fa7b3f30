// What both directions do about connections: cancel all calls of a try at once,
// and decide whether there is another.
#ifndef CKPT_TRANSFER_RETRY_H_
#define CKPT_TRANSFER_RETRY_H_

#include <functional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/cancellation.h"
#include "proto/transfer.pb.h"
#include "transfer/push.h"

namespace ckpt::transfer {

// The calls of one try: they fail together, for the reason of the first.
//
// Thread-safe.
class CallGroup {
 public:
  // `cancel` is called by Cancel(), or at once when that was called already.
  void Add(std::function<void()> cancel);
  // The calls end before what they call does: none is cancelled any more.
  void Clear();
  void Cancel();
  // Keeps the first error, and cancels the others.  OK: does nothing.
  void Fail(const absl::Status& status);
  absl::Status status() const;

 private:
  mutable absl::Mutex mutex_;
  std::vector<std::function<void()>> calls_ ABSL_GUARDED_BY(mutex_);
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

// Thread-compatible.
class Retry {
 public:
  // `stop` is borrowed.
  Retry(const TransferOptions& options, const Cancellation& stop)
      : attempts_(options.attempts),
        first_pause_(options.first_pause),
        pause_(first_pause_),
        stop_(stop) {}

  // Whether to try again after `status`, and then it has waited.  What is
  // tried again: connections that broke or could not be made, as often as
  // there are attempts; and, once, data that were corrupted: twice without
  // progress in between is the same chunk, or an image that is not right.
  bool Again(const absl::Status& status);

  // Something has arrived: counts from the beginning.
  void NoteProgress();

  int retries() const { return retries_; }

 private:
  const int attempts_;
  const absl::Duration first_pause_;
  absl::Duration pause_;
  const Cancellation& stop_;
  int failed_ = 0;
  int retries_ = 0;
  bool data_lost_ = false;
};

// How many streams there are to be.
int StreamsOf(const TransferOptions& options);

// Of a transfer that is to be stopped by the user.
absl::Status CancelledTransfer();

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_RETRY_H_
