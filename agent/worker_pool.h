// Threads that do what blocks, so that gRPC's own never do: a fixed number, and
// a bounded queue before them.
//
//   WorkerPool pool({.threads = 4, .waiting = 64, .share = 3});
//   CKPT_RETURN_IF_ERROR(pool.Submit([=] { ... }, caller.name));
//
// With a share, no caller keeps the others from being served: it has at most so
// many threads, and half of the queue.  Its work is done in turn, but others'
// may overtake it.
//
// Thread-safe.  The destructor waits until all that was taken is done.
#ifndef CKPT_AGENT_WORKER_POOL_H_
#define CKPT_AGENT_WORKER_POOL_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <string>
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
    size_t share = 0;    // threads for the work of one caller; 0: all
  };

  explicit WorkerPool(const Limits& limits);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Takes the work, to be done in turn.  Unavailable when there is too much
  // already, or too much of this caller, or Close() was called: the work is not
  // done.  "" is nobody in particular, and has no share.
  absl::Status Submit(std::function<void()> work,
                      const std::string& caller = "");

  // Takes no more.
  void Close();

  // Waits until nothing is left to do; false when `limit` passes before.
  bool AwaitIdle(absl::Duration limit);

 private:
  struct Item {
    std::string caller;
    std::function<void()> work;
  };
  struct Load {
    size_t working = 0;
    size_t waiting = 0;
  };
  using Queue = std::deque<Item>;

  void Run();
  bool HasShare(const std::string& caller) const {
    return limits_.share > 0 && !caller.empty();
  }
  Load LoadOf(const std::string& caller) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto found = loads_.find(caller);
    return found == loads_.end() ? Load() : found->second;
  }
  // The first whose caller may have one more thread.
  Queue::iterator Next() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HasNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return Next() != queue_.end() || (ending_ && queue_.empty());
  }
  bool IsIdle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return queue_.empty() && working_ == 0;
  }

  const Limits limits_;
  absl::Mutex mutex_;
  Queue queue_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Load> loads_ ABSL_GUARDED_BY(mutex_);  // by caller
  size_t working_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_WORKER_POOL_H_
