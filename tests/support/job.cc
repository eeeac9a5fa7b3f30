#include "tests/support/job.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/proc.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "tests/support/spawn.h"

namespace ckpt {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(1);

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoToStatus(errno, "pipe2");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// What a child tells its parent, over a pipe that a successful exec closes.
struct Message {
  pid_t pid;
  int error;
};

// In the child.
[[noreturn]] void SayErrorAndExit(int fd) {
  const Message message = {::getpid(), errno};
  (void)!::write(fd, &message, sizeof message);
  ::_exit(127);
}

// The next message, or none when the exec has closed the pipe.
std::optional<Message> NextMessage(int fd) {
  Message message;
  ssize_t got;
  do {
    got = ::read(fd, &message, sizeof message);
  } while (got < 0 && errno == EINTR);
  if (got != sizeof message) return std::nullopt;
  return message;
}

// Makes `in`, `out` and `err` the standard descriptors; all others go at exec.
bool SetStandardFds(int in, int out, int err) {
  return ::dup2(in, STDIN_FILENO) >= 0 && ::dup2(out, STDOUT_FILENO) >= 0 &&
         ::dup2(err, STDERR_FILENO) >= 0 &&
         ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
}

// Moves the calling process into the namespaces of another; its next child is
// in that one's PID namespace.
bool EnterNamespaces(pid_t pid) {
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  return pidfd.ok() &&
         ::setns(pidfd.get(), CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET |
                                  CLONE_NEWUTS | CLONE_NEWIPC) == 0;
}

int WaitFor(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

// Goes on as a child of the calling process, which ends; before, if asked to,
// it waits for the child and so leaves no zombie to its own parent.
void ForkAndExitParent(int error_fd, bool wait) {
  const pid_t pid = ::fork();
  if (pid < 0) SayErrorAndExit(error_fd);
  if (pid == 0) return;
  if (wait) WaitFor(pid);
  ::_exit(0);
}

// Appends what is there; false at the end.
bool ReadAvailable(int fd, std::string& text) {
  char buffer[64 * 1024];
  for (;;) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got < 0 && errno == EAGAIN;
    text.append(buffer, got);
  }
}

// Collects output until the process has ended; false at the deadline.
bool Collect(int pidfd, Pipe& out, Pipe& err, absl::Time deadline,
             CommandResult& result) {
  ::fcntl(out.read.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(err.read.get(), F_SETFL, O_NONBLOCK);
  pollfd events[] = {{pidfd, POLLIN, 0},
                     {out.read.get(), POLLIN, 0},
                     {err.read.get(), POLLIN, 0}};
  for (;;) {
    const absl::Duration left = deadline - Clock::Real().Now();
    if (left <= absl::ZeroDuration()) return false;
    ::poll(events, 3, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
    // The end is looked for first: what was written before it is then there.
    const bool ended = events[0].revents != 0;
    if (!ReadAvailable(out.read.get(), result.out)) events[1].fd = -1;
    if (!ReadAvailable(err.read.get(), result.err)) events[2].fd = -1;
    if (ended) return true;
  }
}

bool Contains(absl::Span<const pid_t> pids, pid_t pid) {
  return std::find(pids.begin(), pids.end(), pid) != pids.end();
}

// Reaps the dead children of ours that hold one of the numbers; describes one
// task that goes on holding one, or returns "".
std::string ReapHolders(absl::Span<const pid_t> pids) {
  ProcFs& proc = ProcFs::Real();
  std::vector<pid_t> tasks(pids.begin(), pids.end());  // threads, for one
  const auto processes = proc.Processes();
  if (processes.ok()) {
    tasks.insert(tasks.end(), processes->begin(), processes->end());
  }
  std::string holder;
  for (const pid_t task : tasks) {
    const auto stat = proc.Stat(task);
    if (!stat.ok() ||
        !(Contains(pids, task) || Contains(pids, stat->pgid) ||
          Contains(pids, stat->sid)) ||
        ::waitpid(task, nullptr, WNOHANG) == task) {
      continue;
    }
    holder =
        absl::StrCat("process ", DescribeTask(proc, task),
                     " is still there, in state ", std::string(1, stat->state),
                     ", group ", stat->pgid, ", session ", stat->sid);
  }
  return holder;
}

std::vector<std::string> EnvironmentWith(
    const std::vector<std::string>& added) {
  std::vector<std::string> all;
  for (char** variable = ::environ; *variable != nullptr; ++variable) {
    const std::string text = *variable;
    const std::string name = text.substr(0, text.find('=') + 1);
    bool replaced = false;
    for (const std::string& other : added) {
      replaced = replaced || other.compare(0, name.size(), name) == 0;
    }
    if (!replaced) all.push_back(text);
  }
  all.insert(all.end(), added.begin(), added.end());
  return all;
}

}  // namespace

void BecomeReaper() {
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
    std::perror("PR_SET_CHILD_SUBREAPER");
    std::abort();
  }
}

std::vector<pid_t> ReapAll() {
  std::vector<pid_t> reaped;
  for (;;) {
    const pid_t pid = ::waitpid(-1, nullptr, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return reaped;
    reaped.push_back(pid);
  }
}

absl::Status WaitUntilGone(absl::Span<const pid_t> pids, absl::Time deadline,
                           Clock& clock) {
  for (;;) {
    const std::string holder = ReapHolders(pids);
    if (holder.empty()) return absl::OkStatus();
    if (clock.Now() >= deadline) return absl::DeadlineExceededError(holder);
    clock.Sleep(kPollInterval);
  }
}

absl::StatusOr<Job> Job::Start(const Options& options) {
  CKPT_ASSIGN_OR_RETURN(Pipe messages, MakePipe());
  const std::vector<std::string> groups = ProcsPaths(options.cgroups);
  const std::vector<char*> argv = Pointers(options.argv);
  const std::vector<char*> env = Pointers(options.env);

  const pid_t intermediate = ::fork();
  if (intermediate < 0) return ErrnoToStatus(errno, "fork");
  if (intermediate == 0) {
    const int fd = messages.write.get();
    if (options.namespaces_of > 0) {
      // Orphans go to the init of their dead parent's PID namespace, so the
      // parent must be in there too.
      if (!EnterNamespaces(options.namespaces_of)) SayErrorAndExit(fd);
      ForkAndExitParent(fd, /*wait=*/true);
    }
    ForkAndExitParent(fd, /*wait=*/false);
    const Message hello = {::getpid(), 0};
    (void)!::write(fd, &hello, sizeof hello);
    ::setsid();
    ResetSignals();
    const int null = ::open("/dev/null", O_RDONLY);
    const int output = ::open(options.output_path.c_str(),
                              O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (null < 0 || output < 0 || !JoinCgroups(groups) || ::chdir("/") != 0 ||
        !SetStandardFds(null, output, output)) {
      SayErrorAndExit(fd);
    }
    ::execve(argv[0], argv.data(), env.data());
    SayErrorAndExit(fd);
  }
  messages.write.Reset();
  const std::optional<Message> hello = NextMessage(messages.read.get());
  WaitFor(intermediate);
  if (!hello.has_value() || hello->error != 0) {
    return ErrnoToStatus(hello.has_value() ? hello->error : EIO, "fork for",
                         options.argv[0]);
  }
  const std::optional<Message> failure = NextMessage(messages.read.get());
  if (failure.has_value()) {
    ::waitpid(failure->pid, nullptr, 0);
    return ErrnoToStatus(failure->error, "start", options.argv[0]);
  }
  return Job(hello->pid);
}

absl::StatusOr<std::vector<pid_t>> Job::Tree() const {
  return ProcessTree(ProcFs::Real(), pid_);
}

absl::StatusOr<CommandResult> RunCommand(const std::vector<std::string>& argv,
                                         const CommandOptions& options) {
  CKPT_ASSIGN_OR_RETURN(Pipe messages, MakePipe());
  CKPT_ASSIGN_OR_RETURN(Pipe out, MakePipe());
  CKPT_ASSIGN_OR_RETURN(Pipe err, MakePipe());
  const std::vector<std::string> groups = ProcsPaths(options.cgroups);
  const std::vector<std::string> environment = EnvironmentWith(options.env);
  const std::vector<char*> arguments = Pointers(argv);
  const std::vector<char*> env = Pointers(environment);
  const absl::Time deadline = Clock::Real().Now() + options.timeout;

  const pid_t test = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoToStatus(errno, "fork");
  if (pid == 0) {
    // A command that outlived its test could make anew what is being cleaned.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != test) ::_exit(127);
    ::setsid();
    ResetSignals();
    const int null = ::open("/dev/null", O_RDONLY);
    if (null < 0 || !JoinCgroups(groups) ||
        !SetStandardFds(null, out.write.get(), err.write.get())) {
      SayErrorAndExit(messages.write.get());
    }
    ::execvpe(arguments[0], arguments.data(), env.data());
    SayErrorAndExit(messages.write.get());
  }
  messages.write.Reset();
  out.write.Reset();
  err.write.Reset();
  if (const auto failure = NextMessage(messages.read.get())) {
    WaitFor(pid);
    return ErrnoToStatus(failure->error, "run", argv[0]);
  }
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  CommandResult result;
  const bool ended = Collect(pidfd.get(), out, err, deadline, result);
  if (!ended) ::kill(-pid, SIGKILL);
  const int status = WaitFor(pid);
  if (!ended) {
    return absl::DeadlineExceededError(absl::StrCat(
        "killed after ", absl::FormatDuration(options.timeout), ": ",
        absl::StrJoin(argv, " "), "\n", result.out, result.err));
  }
  result.exit_status =
      WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace ckpt
