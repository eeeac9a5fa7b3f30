#include "agent/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"

namespace ckpt::agent {
namespace {

// At start-up, with no other thread yet.
std::string TakeVariable(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  std::string taken = value == nullptr ? "" : value;
  ::unsetenv(name);  // NOLINT(concurrency-mt-unsafe)
  return taken;
}

}  // namespace

ServiceManager::ServiceManager(std::string address,
                               const std::string& watchdog_usec)
    : address_(std::move(address)) {
  int64_t usec = 0;
  if (absl::SimpleAtoi(watchdog_usec, &usec) && usec > 0) {
    watchdog_interval_ = absl::Microseconds(usec) / 2;
  }
}

ServiceManager ServiceManager::FromEnvironment() {
  std::string address = TakeVariable("NOTIFY_SOCKET");
  return ServiceManager(std::move(address), TakeVariable("WATCHDOG_USEC"));
}

void ServiceManager::Tell(absl::string_view state) const {
  sockaddr_un to = {};
  to.sun_family = AF_UNIX;
  if (address_.empty() || address_.size() >= sizeof(to.sun_path)) return;
  std::memcpy(to.sun_path, address_.data(), address_.size());
  if (address_[0] == '@') to.sun_path[0] = '\0';
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  (void)!::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
                  reinterpret_cast<const sockaddr*>(&to),
                  static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) +
                                         address_.size()));
}

void ServiceManager::TellReloading() const {
  timespec now = {};
  (void)::clock_gettime(CLOCK_MONOTONIC, &now);
  Tell(
      absl::StrCat("RELOADING=1\nMONOTONIC_USEC=",
                   absl::ToInt64Microseconds(absl::DurationFromTimespec(now))));
}

}  // namespace ckpt::agent
