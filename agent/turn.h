// How a worker waits for a reactor of gRPC's callback API.
//
//   Turn read;
//   void OnReadDone(bool ok) override { read.Done(ok); }
//   ...
//   if (!read.Take([&] { StartRead(&request); }, limit,
//                  [&] { context.TryCancel(); })) ...
#ifndef CKPT_AGENT_TURN_H_
#define CKPT_AGENT_TURN_H_

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace ckpt::agent {

// What a worker waits for: a message that gRPC reads or writes.
//
// Thread-safe.
class Turn {
 public:
  // Calls `start`, and waits until Done(); whether the message went through.
  // After `limit` it calls `cut_off`, which must have Done() called soon.
  bool Take(const std::function<void()>& start, absl::Duration limit,
            const std::function<void()>& cut_off);
  void Done(bool ok);

 private:
  absl::Mutex mutex_;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
  bool ok_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_TURN_H_
