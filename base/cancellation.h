// A request to stop that any thread or signal handler may make, and any wait
// can watch.
//
//   Cancellation cancel;              // cancel.Cancel() from anywhere
//   pollfd fds[] = {{fd, POLLIN, 0}, {cancel.fd(), POLLIN, 0}};
//
// Thread-safe; Cancel() is async-signal-safe.  Once cancelled, for ever so.
#ifndef CKPT_BASE_CANCELLATION_H_
#define CKPT_BASE_CANCELLATION_H_

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "base/unique_fd.h"

namespace ckpt {

class Cancellation {
 public:
  Cancellation() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  void Cancel() {
    cancelled_.store(true);
    const uint64_t one = 1;
    (void)!::write(fd_.get(), &one, sizeof(one));
  }

  bool cancelled() const { return cancelled_.load(); }

  // Readable once cancelled.  Owned by this object.
  int fd() const { return fd_.get(); }

 private:
  std::atomic<bool> cancelled_{false};
  const UniqueFd fd_;
};

}  // namespace ckpt

#endif  // CKPT_BASE_CANCELLATION_H_
