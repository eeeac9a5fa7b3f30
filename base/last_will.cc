#include "base/last_will.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ckpt {
namespace {

constexpr char kDisarm = 'd';

}  // namespace

LastWill::~LastWill() { (void)Disarm(); }

void LastWill::AddWrite(int fd, absl::string_view data) {
  steps_.push_back({Kind::kWrite, fd, std::string(data), 0});
}

void LastWill::AddLimitFileSize(pid_t pid) {
  steps_.push_back({Kind::kLimitFileSize, pid, "", 0});
}

void LastWill::AddWaitExit(int pidfd, absl::Duration limit) {
  steps_.push_back({Kind::kWaitExit, pidfd, "",
                    static_cast<int>(absl::ToInt64Milliseconds(limit))});
}

void LastWill::AddKill(int pidfd) {
  steps_.push_back({Kind::kKill, pidfd, "", 0});
}

void LastWill::AddKillProcessGroup(pid_t pgid) {
  steps_.push_back({Kind::kKillProcessGroup, pgid, "", 0});
}

void LastWill::AddKillListed(int procs_fd, absl::Duration limit) {
  steps_.push_back({Kind::kKillListed, procs_fd,
                    absl::StrCat("/proc/self/fd/", procs_fd),
                    static_cast<int>(absl::ToInt64Milliseconds(limit))});
}

// One round; false when nobody is listed.  The file's lines are pids.
bool LastWill::KillListed(const Step& step) {
  // Opened anew: a cgroup v1 list goes on showing what it held when the
  // descriptor was read first.
  const int opened = ::open(step.data.c_str(), O_RDONLY | O_CLOEXEC);
  char text[4096];
  const ssize_t count =
      ::pread(opened >= 0 ? opened : step.number, text, sizeof(text), 0);
  if (opened >= 0) ::close(opened);
  bool any = false;
  pid_t pid = 0;
  for (ssize_t i = 0; i < count; ++i) {
    if (text[i] >= '0' && text[i] <= '9') {
      pid = pid * 10 + (text[i] - '0');
    } else {
      if (pid > 0) ::kill(pid, SIGKILL);
      any |= pid > 0;
      pid = 0;
    }
  }
  return any;
}

void LastWill::CarryOut(const Step& step) const {
  switch (step.kind) {
    case Kind::kWrite:
      (void)!::write(step.number, step.data.data(), step.data.size());
      break;
    case Kind::kLimitFileSize: {
      const rlimit none = {0, 0};
      (void)::prlimit(step.number, RLIMIT_FSIZE, &none, nullptr);
      break;
    }
    case Kind::kWaitExit: {
      pollfd wait = {step.number, POLLIN, 0};
      while (::poll(&wait, 1, step.limit_ms) < 0 && errno == EINTR) {
      }
      break;
    }
    case Kind::kKill:
      (void)::syscall(SYS_pidfd_send_signal, step.number, SIGKILL, nullptr, 0);
      break;
    case Kind::kKillProcessGroup:
      (void)::kill(-step.number, SIGKILL);
      break;
    case Kind::kKillListed: {
      const timespec pause = {0, 1000000};  // 1 ms
      for (int waited = 0; waited < step.limit_ms && KillListed(step);
           ++waited) {
        ::nanosleep(&pause, nullptr);
      }
      break;
    }
  }
}

void LastWill::Execute(int life_fd) const {
  // A terminal's Ctrl-C or hang-up is for the parent, not for its executor.
  ::setsid();
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
    ::signal(number, SIG_IGN);
  }
  ::prctl(PR_SET_NAME, "ckpt-guardian");
  // Anything else that stays open here would outlive the parent: its sockets
  // must show end-of-file to their peers.
  unsigned int next = 0;
  for (const int fd : keep_sorted_) {
    const auto keep = static_cast<unsigned int>(fd);
    if (keep > next) ::syscall(SYS_close_range, next, keep - 1, 0);
    next = keep + 1;
  }
  ::syscall(SYS_close_range, next, UINT_MAX, 0);

  char word = 0;
  ssize_t count;
  do {
    count = ::read(life_fd, &word, 1);
  } while (count < 0 && errno == EINTR);
  if (count == 1 && word == kDisarm) ::_exit(0);
  for (const Step& step : steps_) CarryOut(step);
  ::_exit(1);
}

absl::Status LastWill::Arm() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoToStatus(errno, "socketpair for the guardian");
  }
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  keep_sorted_ = keep_open_;
  keep_sorted_.push_back(theirs.get());
  for (const Step& step : steps_) {
    const bool is_pid = step.kind == Kind::kLimitFileSize ||
                        step.kind == Kind::kKillProcessGroup;
    if (!is_pid) keep_sorted_.push_back(step.number);
  }
  std::sort(keep_sorted_.begin(), keep_sorted_.end());
  keep_sorted_.erase(std::unique(keep_sorted_.begin(), keep_sorted_.end()),
                     keep_sorted_.end());
  const pid_t child = ::fork();
  if (child < 0) return ErrnoToStatus(errno, "fork the guardian");
  if (child == 0) Execute(theirs.get());
  executor_ = child;
  life_ = std::move(ours);
  return absl::OkStatus();
}

absl::Status LastWill::Disarm() {
  if (executor_ < 0) return absl::OkStatus();
  // A missing executor must not kill us with SIGPIPE.
  const bool told = ::send(life_.get(), &kDisarm, 1, MSG_NOSIGNAL) == 1;
  life_.Reset();
  int status = 0;
  pid_t reaped;
  do {
    reaped = ::waitpid(executor_, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  executor_ = -1;
  if (told && reaped > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    return absl::OkStatus();
  }
  return absl::InternalError("the guardian process ended before its time");
}

}  // namespace ckpt
