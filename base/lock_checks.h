// Abseil looks for deadlocks: each time a thread that holds a Mutex waits for
// another one, that pair goes into a graph of all locks, which has a lock of
// its own.  Debian builds it so for everybody, gRPC included.  Programs that
// are built to be used (NDEBUG) do without it, as Abseil means them to; tests
// keep it.
//
//   int main() {
//     ckpt::SkipLockChecksIfOptimized();
//     ...
#ifndef CKPT_BASE_LOCK_CHECKS_H_
#define CKPT_BASE_LOCK_CHECKS_H_

#include "absl/synchronization/mutex.h"

namespace ckpt {

// Call it before other threads are there.
inline void SkipLockChecksIfOptimized() {
#ifdef NDEBUG
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
}

}  // namespace ckpt

#endif  // CKPT_BASE_LOCK_CHECKS_H_
