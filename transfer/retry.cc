#include "transfer/retry.h"

#include <poll.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "transfer/chunk.h"

namespace ckpt::transfer {
namespace {

constexpr absl::Duration kLongestPause = absl::Seconds(5);

// A connection that broke, or could not be made.  gRPC mostly says
// UNAVAILABLE then; CANCELLED is what an agent that ends leaves.
bool IsBroken(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsAborted(status) ||
         absl::IsCancelled(status) || absl::IsUnknown(status) ||
         (absl::IsInternal(status) &&
          absl::StrContains(status.message(), "RST_STREAM"));
}

}  // namespace

void CallGroup::Add(std::function<void()> cancel) {
  const absl::MutexLock lock(&mutex_);
  if (cancelled_) cancel();
  calls_.push_back(std::move(cancel));
}

void CallGroup::Clear() {
  const absl::MutexLock lock(&mutex_);
  calls_.clear();
}

void CallGroup::Cancel() {
  const absl::MutexLock lock(&mutex_);
  cancelled_ = true;
  for (const auto& cancel : calls_) cancel();
}

void CallGroup::Fail(const absl::Status& status) {
  if (status.ok()) return;
  {
    const absl::MutexLock lock(&mutex_);
    if (status_.ok()) status_ = status;
  }
  Cancel();
}

absl::Status CallGroup::status() const {
  const absl::MutexLock lock(&mutex_);
  return status_;
}

bool Retry::Again(const absl::Status& status) {
  if (stop_.cancelled()) return false;
  if (absl::IsDataLoss(status)) {
    if (std::exchange(data_lost_, true)) return false;
  } else if (!IsBroken(status) || ++failed_ >= attempts_) {
    return false;
  }
  ++retries_;
  pollfd fd = {stop_.fd(), POLLIN, 0};
  (void)::poll(&fd, 1, static_cast<int>(absl::ToInt64Milliseconds(pause_)));
  pause_ = std::min(2 * pause_, kLongestPause);
  return !stop_.cancelled();
}

void Retry::NoteProgress() {
  failed_ = 0;
  data_lost_ = false;
  pause_ = first_pause_;
}

int StreamsOf(const TransferOptions& options) {
  const int wanted =
      options.streams > 0
          ? options.streams
          : static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(wanted, 1, kMaxStreams);
}

absl::Status CancelledTransfer() {
  return absl::CancelledError(
      "the transfer was cancelled; what has arrived is kept for a day: the "
      "same command goes on from there");
}

}  // namespace ckpt::transfer
