#include "agent/end_limit.h"

#include <poll.h>

#include <cerrno>

namespace ckpt::agent {

EndLimit::~EndLimit() {
  ended_.Cancel();
  if (thread_.joinable()) thread_.join();
}

bool EndLimit::AwaitEnd(absl::Duration limit, const Cancellation* hurry) const {
  const int timeout_ms = static_cast<int>(absl::ToInt64Milliseconds(limit));
  pollfd fds[] = {{ended_.fd(), POLLIN, 0},
                  {hurry == nullptr ? -1 : hurry->fd(), POLLIN, 0}};
  // Signals are for other threads to handle, and may come to this one.
  while (::poll(fds, 2, timeout_ms) < 0 && errno == EINTR) {
  }
  return ended_.cancelled();
}

void EndLimit::Arm(absl::Duration limit, const Cancellation& hurry,
                   absl::Duration hurried) {
  thread_ = std::thread([this, limit, &hurry, hurried] {
    if (AwaitEnd(limit, &hurry)) return;
    if (hurry.cancelled() && AwaitEnd(hurried, nullptr)) return;
    expired_();
  });
}

}  // namespace ckpt::agent
