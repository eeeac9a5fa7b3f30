#include "tests/transparency/watching_parent.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace ckpt {
namespace {

constexpr int kPatienceMs = 60'000;

// One write of the parent.
struct Report {
  enum Kind { kChild, kStatus, kSignals } kind;
  int value;
};

volatile sig_atomic_t signals = 0;

void Tell(int fd, Report::Kind kind, int value) {
  const Report report = {kind, value};
  (void)!::write(fd, &report, sizeof report);
}

[[noreturn]] void SleepForEver() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) ::pause();
}

// In the forked process: only async-signal-safe calls.
[[noreturn]] void Watch(int fd) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct sigaction action = {};
  action.sa_handler = [](int) { signals = signals + 1; };
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGCHLD, &action, nullptr);
  const pid_t child = ::fork();
  if (child == 0) SleepForEver();
  Tell(fd, Report::kChild, child);
  for (;;) {
    int status = 0;
    if (::waitpid(child, &status, WUNTRACED | WCONTINUED) != child) {
      status = -errno;
    }
    Tell(fd, Report::kStatus, status);
    if (status < 0 || WIFEXITED(status) || WIFSIGNALED(status)) break;
  }
  Tell(fd, Report::kSignals, signals);
  ::_exit(0);
}

std::string Describe(const Report& report) {
  const int status = report.value;
  if (report.kind == Report::kSignals) {
    return absl::StrCat("SIGCHLD received ", status, " times");
  }
  if (status < 0) return absl::StrCat("waitpid: errno ", -status);
  if (WIFSTOPPED(status)) return absl::StrCat("stopped by ", WSTOPSIG(status));
  if (WIFCONTINUED(status)) return "continued";
  if (WIFSIGNALED(status)) return absl::StrCat("killed by ", WTERMSIG(status));
  return absl::StrCat("exited with ", WEXITSTATUS(status));
}

bool ReadReport(int fd, Report& report) {
  pollfd readable = {fd, POLLIN, 0};
  return ::poll(&readable, 1, kPatienceMs) == 1 &&
         ::read(fd, &report, sizeof report) == sizeof report;
}

}  // namespace

WatchingParent::WatchingParent() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
  reports_ = UniqueFd(ends[0]);
  const UniqueFd writer(ends[1]);
  parent_ = ::fork();
  if (parent_ == 0) Watch(writer.get());
  Report report;
  if (!ReadReport(reports_.get(), report)) std::abort();
  child_ = report.value;
}

WatchingParent::~WatchingParent() {
  KillChild();
  ::kill(parent_, SIGKILL);
  ::waitpid(parent_, nullptr, 0);
}

void WatchingParent::KillChild() const { ::kill(child_, SIGKILL); }

std::string WatchingParent::NextReport() const {
  Report report;
  return ReadReport(reports_.get(), report) ? Describe(report) : "(none)";
}

}  // namespace ckpt
