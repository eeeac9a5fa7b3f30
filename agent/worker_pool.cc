#include "agent/worker_pool.h"

#include <algorithm>
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

absl::Status WorkerPool::Submit(std::function<void()> work,
                                const std::string& caller) {
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
  const Load load = LoadOf(caller);
  if (HasShare(caller) &&
      load.working + load.waiting >= limits_.share + limits_.waiting / 2) {
    return absl::UnavailableError(
        absl::StrCat("this node's ckptd has too much to do for ", caller, " (",
                     load.working, " at work, ", load.waiting,
                     " waiting); nothing was done; ask again later"));
  }
  ++loads_[caller].waiting;
  queue_.push_back({caller, std::move(work)});
  return absl::OkStatus();
}

WorkerPool::Queue::iterator WorkerPool::Next() {
  return std::find_if(queue_.begin(), queue_.end(), [this](const Item& item) {
    mutex_.AssertHeld();
    return !HasShare(item.caller) ||
           LoadOf(item.caller).working < limits_.share;
  });
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
    Item item;
    {
      const absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &WorkerPool::HasNext));
      const auto next = Next();
      if (next == queue_.end()) return;
      item = std::move(*next);
      queue_.erase(next);
      Load& load = loads_[item.caller];
      --load.waiting;
      ++load.working;
      ++working_;
    }
    item.work();
    item.work = nullptr;  // what it holds goes before it counts as done
    const absl::MutexLock lock(&mutex_);
    --working_;
    Load& load = loads_[item.caller];
    if (--load.working + load.waiting == 0) loads_.erase(item.caller);
  }
}

}  // namespace ckpt::agent
