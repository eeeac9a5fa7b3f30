#include "tests/transparency/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/proc.h"
#include "tests/support/spawn.h"

namespace ckpt {
namespace {

constexpr int kPatienceMs = 60'000;

}  // namespace

Terminal::Terminal(const std::vector<std::string>& argv,
                   const std::vector<std::string>& environment) {
  int master;
  int slave;
  if (::openpty(&master, &slave, nullptr, nullptr, nullptr) != 0) std::abort();
  master_ = UniqueFd(master);
  ::fcntl(master, F_SETFD, FD_CLOEXEC);
  termios mode;
  ::tcgetattr(slave, &mode);
  mode.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  mode.c_oflag &= ~static_cast<tcflag_t>(OPOST);
  ::tcsetattr(slave, TCSANOW, &mode);
  const std::vector<char*> words = Pointers(argv);
  const std::vector<char*> variables = Pointers(environment);
  pid_ = ::fork();
  if (pid_ == 0) {
    ResetSignals();
    // The child has one thread.
    if (::login_tty(slave) == 0) {  // NOLINT(concurrency-mt-unsafe)
      ::execve(words[0], words.data(), variables.data());
    }
    ::_exit(127);
  }
  ::close(slave);
}

Terminal::~Terminal() {
  // What it left in the background, in groups of its own, gets no SIGHUP.
  ProcFs& proc = ProcFs::Real();
  if (const auto pids = proc.Processes(); pids.ok()) {
    for (const pid_t pid : *pids) {
      const auto stat = proc.Stat(pid);
      if (stat.ok() && stat->sid == pid_) ::kill(pid, SIGKILL);
    }
  }
  ::waitpid(pid_, nullptr, 0);
}

void Terminal::Type(absl::string_view line) {
  const std::string text = absl::StrCat(line, "\n");
  if (::write(master_.get(), text.data(), text.size()) !=
      static_cast<ssize_t>(text.size())) {
    std::abort();
  }
}

bool Terminal::ReadSome(int timeout_ms) {
  pollfd readable = {master_.get(), POLLIN, 0};
  if (::poll(&readable, 1, timeout_ms) != 1) return false;
  char buffer[4096];
  const ssize_t count = ::read(master_.get(), buffer, sizeof buffer);
  if (count <= 0) return false;
  unread_.append(buffer, static_cast<size_t>(count));
  return true;
}

std::string Terminal::ReadUntil(absl::string_view text) {
  size_t place;
  while ((place = unread_.find(text.data(), 0, text.size())) ==
         std::string::npos) {
    if (!ReadSome(kPatienceMs)) return std::exchange(unread_, "");
  }
  std::string read = unread_.substr(0, place + text.size());
  unread_.erase(0, place + text.size());
  return read;
}

std::string Terminal::ReadAvailable() {
  while (ReadSome(0)) {
  }
  return std::exchange(unread_, "");
}

pid_t Terminal::ForegroundProcessGroup() const {
  return ::tcgetpgrp(master_.get());
}

}  // namespace ckpt
