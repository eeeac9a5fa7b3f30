// Calls a function when a cancellation comes, for as long as it lives.
//
//   const OnCancel on_cancel(cancel, [&] { stream.Cancel(); });
//
// The function is called at most once, by a thread of its own; the destructor
// waits until it has returned.  Without a cancellation there is no thread.
#ifndef CKPT_BASE_ON_CANCEL_H_
#define CKPT_BASE_ON_CANCEL_H_

#include <poll.h>

#include <functional>
#include <thread>
#include <utility>

#include "base/cancellation.h"

namespace ckpt {

class OnCancel {
 public:
  // `cancel` is borrowed for the life of this, and may be null.
  OnCancel(const Cancellation* cancel, std::function<void()> call) {
    if (cancel == nullptr) return;
    thread_ = std::thread([this, cancel, call = std::move(call)] {
      pollfd fds[] = {{cancel->fd(), POLLIN, 0}, {over_.fd(), POLLIN, 0}};
      while (::poll(fds, 2, -1) < 0) {
      }
      if (fds[0].revents != 0) call();
    });
  }
  ~OnCancel() {
    over_.Cancel();
    if (thread_.joinable()) thread_.join();
  }
  OnCancel(const OnCancel&) = delete;
  OnCancel& operator=(const OnCancel&) = delete;

 private:
  Cancellation over_;
  std::thread thread_;
};

}  // namespace ckpt

#endif  // CKPT_BASE_ON_CANCEL_H_
