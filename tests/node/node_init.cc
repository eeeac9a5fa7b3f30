#include "tests/node/node_init.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "tests/node/node.h"

namespace ckpt {
namespace {

// What the new process writes when it is set up, or cannot be.
struct Report {
  int error;
  char what[60];
};

// fork() into new namespaces.
pid_t ForkInto(unsigned long namespaces) {
  return static_cast<pid_t>(
      ::syscall(SYS_clone, namespaces | SIGCHLD, nullptr, nullptr, nullptr, 0));
}

// Set-up in the new process: the first failure is reported and ends it.
class SetUp {
 public:
  explicit SetUp(int report_fd) : report_fd_(report_fd) {}

  void Check(bool ok, const char* what) const {
    if (ok) return;
    Send(errno, what);
    ::_exit(1);
  }

  void Send(int error, const char* what) const {
    Report report = {error, {}};
    std::strncpy(report.what, what, sizeof report.what - 1);
    (void)!::write(report_fd_, &report, sizeof report);
  }

 private:
  const int report_fd_;
};

void MountFileSystems(const SetUp& set_up) {
  set_up.Check(
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0,
      "make mounts private");
  // Not over the old one: CRIU looks files up by mount.
  set_up.Check(::umount2("/proc", MNT_DETACH) == 0, "unmount /proc");
  set_up.Check(::mount("proc", "/proc", "proc",
                       MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0,
               "mount /proc");
  // Numbers of terminals are a machine's own.
  set_up.Check(::umount2("/dev/pts", MNT_DETACH) == 0, "unmount /dev/pts");
  set_up.Check(::mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                       "newinstance,mode=620,gid=5,ptmxmode=666") == 0,
               "mount /dev/pts");
  set_up.Check(
      ::mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") == 0,
      "mount /run");
  set_up.Check(::mkdir(kNodeStore, 0755) == 0, "mkdir /run/store");
  set_up.Check(::mount("tmpfs", kNodeStore, "tmpfs", MS_NOSUID | MS_NODEV,
                       "mode=755") == 0,
               "mount /run/store");
}

void BringLoopbackUp(const SetUp& set_up) {
  const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = {};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  set_up.Check(::ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0, "bring lo up");
}

void SetLastPid(const SetUp& set_up, pid_t last_pid) {
  const UniqueFd fd(
      ::open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC));
  const std::string text = absl::StrCat(last_pid);
  set_up.Check(::write(fd.get(), text.data(), text.size()) ==
                   static_cast<ssize_t>(text.size()),
               "set ns_last_pid");
}

void DropDescriptors() {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd <= 2; ++fd) ::dup2(null, fd);
  ::close_range(3, ~0U, 0);
}

// Waits for the maker's word; without it the maker is dead already, from before
// PR_SET_PDEATHSIG.
void AwaitGo(const SetUp& set_up, int go_fd) {
  set_up.Check(::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, "PR_SET_PDEATHSIG");
  char byte;
  if (::read(go_fd, &byte, 1) != 1) ::_exit(1);
}

[[noreturn]] void ReapForEver() {
  // SIGCHLD is blocked, so that none is lost between the two calls.
  for (;;) {
    if (::waitpid(-1, nullptr, 0) > 0) continue;
    // No child now: they come by being orphaned, without any call of ours.
    sigset_t child;
    ::sigemptyset(&child);
    ::sigaddset(&child, SIGCHLD);
    int signal;
    ::sigwait(&child, &signal);
  }
}

[[noreturn]] void RunInit(const SetUp& set_up, int go_fd, int number,
                          pid_t first_pid) {
  AwaitGo(set_up, go_fd);
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  ::prctl(PR_SET_NAME, absl::StrCat(kNodeCommPrefix, number).c_str());
  ::setsid();
  const std::string name = absl::StrCat("node", number);
  set_up.Check(::sethostname(name.data(), name.size()) == 0, "sethostname");
  MountFileSystems(set_up);
  set_up.Check(::chdir("/") == 0, "chdir /");
  BringLoopbackUp(set_up);
  SetLastPid(set_up, first_pid);
  set_up.Send(0, "");
  DropDescriptors();
  ReapForEver();
}

[[noreturn]] void RunHolder(const SetUp& set_up, int go_fd) {
  AwaitGo(set_up, go_fd);
  ::prctl(PR_SET_NAME, kHolderComm);
  ::setsid();
  set_up.Send(0, "");
  DropDescriptors();
  for (;;) ::pause();
}

// Forks into `namespaces`, and returns when `body` has reported.
template <typename Body>
absl::StatusOr<pid_t> Start(unsigned long namespaces, Body body) {
  int go[2];
  int report[2];
  if (::pipe2(go, O_CLOEXEC) != 0) return ErrnoToStatus(errno, "pipe2");
  const UniqueFd go_read(go[0]);
  UniqueFd go_write(go[1]);
  if (::pipe2(report, O_CLOEXEC) != 0) return ErrnoToStatus(errno, "pipe2");
  const UniqueFd report_read(report[0]);
  UniqueFd report_write(report[1]);
  const pid_t pid = ForkInto(namespaces);
  if (pid < 0) return ErrnoToStatus(errno, "clone", "into new namespaces");
  if (pid == 0) {
    go_write.Reset();
    body(SetUp(report_write.get()), go_read.get());
  }
  report_write.Reset();
  (void)!::write(go_write.get(), "g", 1);
  Report result = {EPIPE, "start"};
  ssize_t got;
  do {
    got = ::read(report_read.get(), &result, sizeof result);
  } while (got < 0 && errno == EINTR);
  if (result.error == 0) return pid;
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  return ErrnoToStatus(result.error, result.what, "of a node");
}

}  // namespace

absl::StatusOr<pid_t> StartNodeInit(int number, pid_t first_pid) {
  return Start(
      CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC,
      [&](const SetUp& set_up, int go_fd) {
        RunInit(set_up, go_fd, number, first_pid);
      });
}

absl::StatusOr<pid_t> StartNetworkHolder() {
  return Start(CLONE_NEWNET, [](const SetUp& set_up, int go_fd) {
    RunHolder(set_up, go_fd);
  });
}

}  // namespace ckpt
