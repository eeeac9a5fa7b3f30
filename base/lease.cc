#include "base/lease.h"

#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ckpt {
namespace {

// How often it looks by itself where inotify cannot be had.
constexpr int kLookMs = 1000;

}  // namespace

absl::Duration BootTime() {
  timespec now = {};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return absl::DurationFromTimespec(now);
}

Lease::Lease(Options options)
    : options_(std::move(options)),
      token_path_(absl::StrCat("/proc/self/fd/", options_.token_fd)),
      directory_path_(absl::StrCat("/proc/self/fd/", options_.lock_fd, "/..")) {
}

void Lease::Prepare(std::vector<int>& fds) {
  kept_ = {options_.token_fd, options_.lock_fd};
  at_end_.AppendDescriptors(kept_);
  kept_ = SortedDescriptors(std::move(kept_));
  fds.insert(fds.end(), kept_.begin(), kept_.end());
}

bool Lease::IsCalledOff() const {
  struct stat info;
  return ::fstat(options_.token_fd, &info) != 0 || info.st_nlink == 0;
}

bool Lease::IsDue(int timer_fd) const {
  uint64_t expirations;
  if (timer_fd < 0 || ::read(timer_fd, &expirations, sizeof(expirations)) > 0) {
    return true;
  }
  return ::faccessat(options_.lock_fd, options_.alive_file.c_str(), F_OK, 0) !=
         0;
}

int Lease::Watch() const {
  const int fd = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  // The token's link count is an attribute of it.
  if (fd < 0 || ::inotify_add_watch(fd, token_path_.c_str(), IN_ATTRIB) < 0 ||
      ::inotify_add_watch(fd, directory_path_.c_str(), IN_DELETE) < 0) {
    return -1;
  }
  return fd;
}

void Lease::Run() const {
  ::setsid();
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGTERM, SIG_DFL);
  ::prctl(PR_SET_NAME, "ckpt-lease");
  (void)!::chdir("/");
  CloseOthers(kept_);
  const int timer_fd =
      ::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  itimerspec when = {};
  when.it_value = absl::ToTimespec(
      std::max(options_.end, absl::Duration(absl::Nanoseconds(1))));
  ::timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, nullptr);
  const int watch_fd = Watch();
  while (!IsCalledOff() && !IsDue(timer_fd)) {
    pollfd fds[2] = {{timer_fd, POLLIN, 0}, {watch_fd, POLLIN, 0}};
    (void)::poll(fds, 2, watch_fd < 0 ? kLookMs : -1);
    char events[4096];
    while (watch_fd >= 0 && ::read(watch_fd, events, sizeof(events)) > 0) {
    }
  }
  if (IsCalledOff()) ::_exit(0);
  while (::flock(options_.lock_fd, LOCK_EX) != 0 && errno == EINTR) {
  }
  if (!IsCalledOff()) at_end_.CarryOut();
  ::_exit(0);
}

bool Lease::Fork() const {
  // Twice, so that it is nobody's child that would have to be reaped.
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    const pid_t daemon = ::fork();
    if (daemon == 0) Run();
    ::_exit(daemon < 0 ? 1 : 0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status == 0;
}

absl::Status Lease::Start() {
  std::vector<int> kept;
  Prepare(kept);
  if (Fork()) return absl::OkStatus();
  return ErrnoToStatus(EAGAIN, "fork the process of a lease");
}

}  // namespace ckpt
