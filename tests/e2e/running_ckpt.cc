#include "tests/e2e/running_ckpt.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/proc.h"

namespace ckpt {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(1);

}  // namespace

RunningCkpt::RunningCkpt(const std::vector<std::string>& argv,
                         const std::string& fault)
    : errors_(::memfd_create("stderr", MFD_CLOEXEC)),
      output_(::memfd_create("stdout", MFD_CLOEXEC)) {
  std::vector<char*> words;
  words.reserve(argv.size() + 1);
  for (const std::string& word : argv) {
    words.push_back(const_cast<char*>(word.c_str()));
  }
  words.push_back(nullptr);
  const std::string variable = absl::StrCat("CKPT_FAULT=", fault);
  std::vector<char*> environment;
  for (char** entry = ::environ; *entry != nullptr; ++entry) {
    environment.push_back(*entry);
  }
  environment.push_back(const_cast<char*>(variable.c_str()));
  environment.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ != 0) return;
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ::dup2(null, STDIN_FILENO);
  ::dup2(output_.get(), STDOUT_FILENO);
  ::dup2(errors_.get(), STDERR_FILENO);
  ::execve(words[0], words.data(), environment.data());
  ::_exit(127);
}

RunningCkpt::~RunningCkpt() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  (void)Wait();
}

bool RunningCkpt::WaitUntilStopped(absl::Time deadline) {
  Clock& clock = Clock::Real();
  while (clock.Now() < deadline) {
    siginfo_t info = {};
    if (::waitid(P_PID, static_cast<id_t>(pid_), &info,
                 WSTOPPED | WEXITED | WNOHANG | WNOWAIT) != 0) {
      return false;
    }
    if (info.si_pid == pid_) return info.si_code == CLD_STOPPED;
    clock.Sleep(kPoll);
  }
  return false;
}

void RunningCkpt::Continue() { Signal(SIGCONT); }

void RunningCkpt::Signal(int signal) { ::kill(pid_, signal); }

pid_t RunningCkpt::FindChild(
    const std::function<bool(const std::string& command)>& matches) const {
  ProcFs& proc = ProcFs::Real();
  const auto children = proc.Children(pid_);
  if (!children.ok()) return 0;
  for (const pid_t child : *children) {
    const auto command = proc.Read(child, "cmdline");
    if (command.ok() && matches(*command)) return child;
  }
  return 0;
}

pid_t RunningCkpt::CriuPid() const {
  return FindChild([](const std::string& command) {
    return absl::StrContains(command, "criu");
  });
}

bool RunningCkpt::KillCriu() {
  const pid_t criu = CriuPid();
  return criu > 0 && ::kill(criu, SIGKILL) == 0;
}

bool RunningCkpt::KillGuardian() {
  ProcFs& proc = ProcFs::Real();
  // Forked, and nothing executed: it has the command line of its parent.
  const auto own = proc.Read(pid_, "cmdline");
  const pid_t guardian = FindChild([&own](const std::string& command) {
    return own.ok() && command == *own;
  });
  if (guardian <= 0 || ::kill(guardian, SIGKILL) != 0) return false;
  while (true) {
    const auto stat = proc.Stat(guardian);
    if (!stat.ok() || stat->state == 'Z') return true;
    Clock::Real().Sleep(kPoll);
  }
}

int RunningCkpt::Wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::string RunningCkpt::ReadAll(const UniqueFd& file) {
  struct stat info = {};
  ::fstat(file.get(), &info);
  std::string text(static_cast<size_t>(info.st_size), '\0');
  const ssize_t count = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(static_cast<size_t>(count > 0 ? count : 0));
  return text;
}

bool RunningCkpt::WaitForLines(int count, absl::Time deadline) {
  Clock& clock = Clock::Real();
  while (clock.Now() < deadline) {
    const std::string text = ReadOutput();
    if (std::count(text.begin(), text.end(), '\n') >= count) return true;
    clock.Sleep(kPoll);
  }
  return false;
}

}  // namespace ckpt
