// Threads that do what blocks, so that gRPC's own never do: a fixed number, and
// a bounded queue before them.
//
//   WorkerPool pool({.threads = 4, .waiting = 64});
//   CKPT_RETURN_IF_ERROR(pool.Submit([=] { ... }));
//
// Thread-safe.  The destructor waits until all that was taken is done.
#ifndef CKPT_AGENT_WORKER_POOL_H_
#define CKPT_AGENT_WORKER_POOL_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace ckpt::agent {

class WorkerPool {
 public:
  struct Limits {
    size_t threads = 1;
    size_t waiting = 0;  // besides those that threads work on
  };

  explicit WorkerPool(const Limits& limits);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Takes the work, to be done in turn.  Unavailable when there is too much
  // already, or Close() was called: the work is not done.
  absl::Status Submit(std::function<void()> work);

  // Takes no more.
  void Close();

  // Waits until nothing is left to do; false when `limit` passes before.
  bool AwaitIdle(absl::Duration limit);

 private:
  void Run();
  bool HasNext() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !queue_.empty() || ending_;
  }
  bool IsIdle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return queue_.empty() && working_ == 0;
  }

  const Limits limits_;
  absl::Mutex mutex_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  size_t working_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_WORKER_POOL_H_
