// How long a migration may take up to its decision.
//
//   RunLimit limit(cancel, record.request());
//   ... work that limit.cancel() ends ...
//   return limit.Explain(status);
//
// Thread-safe.
#ifndef CKPT_AGENT_RUN_LIMIT_H_
#define CKPT_AGENT_RUN_LIMIT_H_

#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/cancellation.h"
#include "base/on_cancel.h"
#include "migrate/states.h"
#include "proto/migration.pb.h"

namespace ckpt::agent {

// Cancels when the caller does, and when it has taken too long.
class RunLimit {
 public:
  RunLimit(const Cancellation* cancel, const v1::MigrateRequest& request)
      : limit_(migrate::DecisionLimit(request)),
        on_cancel_(cancel, [this] { stop_.Cancel(); }),
        thread_([this] { Wait(); }) {}
  ~RunLimit() {
    End();
    thread_.join();
  }
  RunLimit(const RunLimit&) = delete;
  RunLimit& operator=(const RunLimit&) = delete;

  const Cancellation* cancel() const { return &stop_; }
  // From now on only the caller cancels.
  void End() {
    const absl::MutexLock lock(&mutex_);
    over_ = true;
  }
  // What a call that was cancelled is to say.
  absl::Status Explain(const absl::Status& status) {
    const absl::MutexLock lock(&mutex_);
    if (!passed_ || !absl::IsCancelled(status)) return status;
    return absl::DeadlineExceededError(
        absl::StrCat("it was not decided within ", absl::FormatDuration(limit_),
                     " (--timeout); the job runs on: ", status.message()));
  }

 private:
  void Wait() {
    const absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&over_), limit_)) return;
    passed_ = true;
    stop_.Cancel();
  }

  const absl::Duration limit_;
  Cancellation stop_;
  absl::Mutex mutex_;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  bool passed_ ABSL_GUARDED_BY(mutex_) = false;
  const OnCancel on_cancel_;
  std::thread thread_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_RUN_LIMIT_H_
