#include "tests/support/cgroup_guard.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "tests/support/cgroup_cleaner.h"

namespace ckpt {
namespace {

// Bazel kills a test 15 s after it has asked it to end.
constexpr absl::Duration kCleaningTime = absl::Seconds(10);
// How long after the test's death the guard looks once more.
constexpr absl::Duration kLastLook = absl::Milliseconds(100);

constexpr int kEndings[] = {SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGABRT,
                            SIGBUS, SIGFPE, SIGSEGV, SIGTERM};

// What the signal handler needs, in plain data.
struct Guarded {
  pid_t owner = 0;  // 0: no guard yet
  pid_t guard = -1;
  int socket = -1;
  struct sigaction before[std::size(kEndings)] = {};
};
Guarded guarded;

// Async-signal-safe.
void CleanAndGoOn(int signal) {
  const int error = errno;
  if (::getpid() == guarded.owner) {
    char byte = 'c';
    if (::send(guarded.socket, &byte, 1, MSG_NOSIGNAL) == 1) {
      (void)!::recv(guarded.socket, &byte, 1, 0);
    }
  }
  for (size_t i = 0; i < std::size(kEndings); ++i) {
    if (kEndings[i] == signal) {
      ::sigaction(signal, &guarded.before[i], nullptr);
    }
  }
  ::raise(signal);  // delivered when this handler returns
  errno = error;
}

void RemoveAll(const std::vector<std::string>& roots,
               const std::string& prefix) {
  std::vector<std::string> groups;
  for (const std::string& root : roots) {
    for (std::string& group : CgroupsNamed(root, prefix)) {
      groups.push_back(std::move(group));
    }
  }
  // A task may be in groups of two hierarchies: all are thawed before any is
  // waited for.
  for (const std::string& group : groups) {
    for (const std::string& below : CgroupsBelow(group)) ThawCgroup(below);
  }
  // In rounds: one that takes its time must not keep the others.
  Clock& clock = Clock::Real();
  const absl::Time deadline = clock.Now() + kCleaningTime;
  while (!groups.empty() && clock.Now() < deadline) {
    std::vector<std::string> left;
    for (const std::string& group : groups) {
      if (!RemoveCgroup(group, clock.Now())) left.push_back(group);
    }
    groups = std::move(left);
    if (!groups.empty()) clock.Sleep(absl::Milliseconds(1));
  }
}

[[noreturn]] void Guard(int test_pidfd, int socket,
                        const std::vector<std::string>& roots,
                        const std::string& prefix) {
  ::setsid();
  ::prctl(PR_SET_NAME, "cgroup-guard");
  for (const int signal : kEndings) ::signal(signal, SIG_IGN);
  // The reader of the test's output waits until nobody holds it.
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd <= 2; ++fd) ::dup2(null, fd);
  for (int fd = 3; fd < 1024; ++fd) {
    if (fd != test_pidfd && fd != socket) ::close(fd);
  }
  // Whoever else learns of the test's death (Bazel's process-wrapper) kills
  // what the test has left, this process included: be first, if allowed to.
  const sched_param first = {1};
  ::sched_setscheduler(0, SCHED_FIFO, &first);

  for (;;) {
    pollfd events[] = {{test_pidfd, POLLIN, 0}, {socket, POLLIN, 0}};
    if (::poll(events, 2, -1) < 0) continue;
    const bool over = events[0].revents != 0;
    char byte;
    if (!over && ::recv(socket, &byte, 1, MSG_DONTWAIT) <= 0) {
      // The test has closed its end, but lives: only its death matters now.
      pollfd death = {test_pidfd, POLLIN, 0};
      while (::poll(&death, 1, -1) < 0) {
      }
      byte = 0;
    }
    RemoveAll(roots, prefix);
    if (over || byte == 0) {
      // What the test had running and is dying now may have made groups since.
      Clock::Real().Sleep(kLastLook);
      RemoveAll(roots, prefix);
      ::_exit(0);
    }
    ::send(socket, &byte, 1, MSG_NOSIGNAL);
  }
}

}  // namespace

absl::Status EnsureCgroupGuard(const std::vector<std::string>& roots,
                               const std::string& prefix) {
  if (guarded.owner == ::getpid()) return absl::OkStatus();
  const UniqueFd self(
      static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!self.ok()) return ErrnoToStatus(errno, "pidfd_open");
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    return ErrnoToStatus(errno, "socketpair");
  }
  UniqueFd mine(sockets[0]);
  UniqueFd theirs(sockets[1]);
  const timeval limit = absl::ToTimeval(kCleaningTime);
  ::setsockopt(mine.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);

  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoToStatus(errno, "fork");
  if (pid == 0) Guard(self.get(), theirs.get(), roots, prefix);

  // A forked child has its parent's socket.
  if (guarded.socket >= 0) ::close(guarded.socket);
  guarded.owner = ::getpid();
  guarded.guard = pid;
  guarded.socket = mine.Release();
  for (size_t i = 0; i < std::size(kEndings); ++i) {
    struct sigaction action = {};
    ::sigaction(kEndings[i], nullptr, &action);
    if (action.sa_handler == &CleanAndGoOn) continue;  // inherited
    guarded.before[i] = action;
    action = {};
    action.sa_handler = &CleanAndGoOn;
    action.sa_flags = SA_ONSTACK;
    ::sigaction(kEndings[i], &action, nullptr);
  }
  return absl::OkStatus();
}

pid_t CgroupGuardPidForTest() {
  return guarded.owner == ::getpid() ? guarded.guard : -1;
}

std::vector<std::string> CgroupsNamed(const std::string& root,
                                      const std::string& prefix) {
  std::vector<std::string> found;
  const auto names = ListDirectory(root);
  if (!names.ok()) return found;
  for (const std::string& name : *names) {
    if (absl::StartsWith(name, prefix)) {
      found.push_back(absl::StrCat(root, "/", name));
    }
  }
  return found;
}

}  // namespace ckpt
