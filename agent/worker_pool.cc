#include "agent/worker_pool.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace ckpt::agent {

WorkerPool::WorkerPool(const Limits& limits) : limits_(limits) {
  for (size_t i = 0; i < limits_.threads; ++i) {
    threads_.emplace_back([this] { Run(); });
  }
}

WorkerPool::~WorkerPool() {
  {
    const absl::MutexLock lock(&mutex_);
    closed_ = true;
    ending_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

absl::Status WorkerPool::Submit(std::function<void()> work) {
  const absl::MutexLock lock(&mutex_);
  if (closed_) {
    return absl::UnavailableError(
        "this node's ckptd is ending; nothing was done; ask again later");
  }
  if (queue_.size() + working_ >= limits_.threads + limits_.waiting) {
    return absl::UnavailableError(absl::StrCat(
        "this node's ckptd has too much to do (", working_, " at work, ",
        queue_.size(), " waiting); nothing was done; ask again later"));
  }
  queue_.push_back(std::move(work));
  return absl::OkStatus();
}

void WorkerPool::Close() {
  const absl::MutexLock lock(&mutex_);
  closed_ = true;
}

bool WorkerPool::AwaitIdle(absl::Duration limit) {
  const absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(this, &WorkerPool::IsIdle),
                                 limit);
}

void WorkerPool::Run() {
  while (true) {
    std::function<void()> work;
    {
      const absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &WorkerPool::HasNext));
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
      ++working_;
    }
    work();
    work = nullptr;  // what it holds goes before it counts as done
    const absl::MutexLock lock(&mutex_);
    --working_;
  }
}

}  // namespace ckpt::agent
