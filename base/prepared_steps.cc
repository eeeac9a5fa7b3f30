#include "base/prepared_steps.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <ctime>

#include "absl/strings/str_cat.h"

namespace ckpt {

void PreparedSteps::Add(Kind kind, int number, absl::string_view data,
                        absl::string_view target, absl::Duration limit) {
  steps_.push_back(
      {.kind = kind,
       .number = number,
       .data = std::string(data),
       .target = std::string(target),
       .limit_ms = static_cast<int>(absl::ToInt64Milliseconds(limit))});
}

void PreparedSteps::AddWrite(int fd, absl::string_view data) {
  Add(Kind::kWrite, fd, data);
}

void PreparedSteps::AddLimitFileSize(pid_t pid) {
  Add(Kind::kLimitFileSize, pid);
}

void PreparedSteps::AddWaitExit(int pidfd, absl::Duration limit) {
  Add(Kind::kWaitExit, pidfd, "", "", limit);
}

void PreparedSteps::AddKill(int pidfd) { Add(Kind::kKill, pidfd); }

void PreparedSteps::AddKillProcessGroup(pid_t pgid) {
  Add(Kind::kKillProcessGroup, pgid);
}

void PreparedSteps::AddKillListed(int procs_fd, absl::Duration limit) {
  Add(Kind::kKillListed, procs_fd, absl::StrCat("/proc/self/fd/", procs_fd), "",
      limit);
}

void PreparedSteps::AddSocketOption(int fd, int level, int name, int value) {
  Add(Kind::kSocketOption, fd);
  Step& step = steps_.back();
  step.level = level;
  step.name = name;
  step.value = value;
}

void PreparedSteps::AddClose(int fd) { Add(Kind::kClose, fd); }

void PreparedSteps::AddUnlink(int dir_fd, absl::string_view name) {
  Add(Kind::kUnlink, dir_fd, name);
}

void PreparedSteps::AddRename(int dir_fd, absl::string_view from,
                              absl::string_view to) {
  Add(Kind::kRename, dir_fd, from, to);
}

PreparedSteps::Branch PreparedSteps::AddIfExists(int dir_fd,
                                                 absl::string_view name) {
  Add(Kind::kIfExists, dir_fd, name);
  Step& step = steps_.back();
  step.then = std::make_shared<PreparedSteps>();
  step.otherwise = std::make_shared<PreparedSteps>();
  return {*step.then, *step.otherwise};
}

// One round; false when nobody is listed.  The file's lines are pids.
bool PreparedSteps::KillListed(const Step& step) {
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

void PreparedSteps::CarryOutOne(const Step& step) {
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
    case Kind::kSocketOption:
      (void)::setsockopt(step.number, step.level, step.name, &step.value,
                         sizeof step.value);
      break;
    case Kind::kClose:
      (void)::close(step.number);
      break;
    case Kind::kUnlink:
      (void)::unlinkat(step.number, step.data.c_str(), 0);
      break;
    case Kind::kRename:
      (void)::renameat(step.number, step.data.c_str(), step.number,
                       step.target.c_str());
      break;
    case Kind::kIfExists:
      (::faccessat(step.number, step.data.c_str(), F_OK, 0) == 0
           ? step.then
           : step.otherwise)
          ->CarryOut();
      break;
  }
}

void PreparedSteps::CarryOut() const {
  for (const Step& step : steps_) CarryOutOne(step);
}

void PreparedSteps::AppendDescriptors(std::vector<int>& fds) const {
  for (const Step& step : steps_) {
    const bool is_pid = step.kind == Kind::kLimitFileSize ||
                        step.kind == Kind::kKillProcessGroup;
    if (!is_pid && step.number >= 0) fds.push_back(step.number);
    if (step.kind == Kind::kIfExists) {
      step.then->AppendDescriptors(fds);
      step.otherwise->AppendDescriptors(fds);
    }
  }
}

std::vector<int> SortedDescriptors(std::vector<int> fds) {
  std::sort(fds.begin(), fds.end());
  fds.erase(std::unique(fds.begin(), fds.end()), fds.end());
  return fds;
}

void CloseOthers(const std::vector<int>& sorted) {
  unsigned int next = 0;
  for (const int fd : sorted) {
    const auto keep = static_cast<unsigned int>(fd);
    if (keep > next) ::syscall(SYS_close_range, next, keep - 1, 0);
    next = keep + 1;
  }
  ::syscall(SYS_close_range, next, UINT_MAX, 0);
}

}  // namespace ckpt
