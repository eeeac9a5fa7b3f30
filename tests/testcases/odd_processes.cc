// Kinds of odd_job that are a state of a process, or where it is.

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <thread>

#include "tests/testcases/odd_job.h"

namespace ckpt {
namespace {

// A child that has called `body`, and does nothing more.
template <typename Body>
pid_t Child(Body body) {
  int ready[2];
  Must(::pipe2(ready, O_CLOEXEC), "pipe");
  const pid_t child = Must(::fork(), "fork");
  if (child == 0) {
    ::close(ready[0]);
    body();
    ::close(ready[1]);
    for (;;) ::pause();
  }
  ::close(ready[1]);
  char none;
  while (::read(ready[0], &none, 1) < 0 && errno == EINTR) {
  }
  ::close(ready[0]);
  return child;
}

// The child stops itself; the root goes on.
void StoppedChild(const OddArguments&) {
  const pid_t child = Must(::fork(), "fork");
  if (child == 0) {
    for (;;) ::raise(SIGSTOP);
  }
  int status = 0;
  Must(::waitpid(child, &status, WUNTRACED), "waitpid");
}

void ZombieChild(const OddArguments&) {
  const pid_t child = Must(::fork(), "fork");
  if (child == 0) ::_exit(3);
  siginfo_t info;
  Must(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT),
       "waitid");
}

void SeccompFilter(const OddArguments&) {
  sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
  const sock_fprog program = {1, &allow};
  Must(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
  Must(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "seccomp");
}

void SysvShm(const OddArguments&) {
  const int id = Must(::shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600), "shmget");
  void* const memory = ::shmat(id, nullptr, 0);
  if (memory == reinterpret_cast<void*>(-1)) Fail("shmat");
  // Lives as long as somebody has it.
  Must(::shmctl(id, IPC_RMID, nullptr), "shmctl");
}

void AioContext(const OddArguments&) {
  aio_context_t context = 0;
  Must(::syscall(SYS_io_setup, 8, &context), "io_setup");
}

// Of a thread: its own table of descriptors, its own root and directory.
template <int flags>
void ThreadUnshares(const OddArguments&) {
  int ready[2];
  Must(::pipe2(ready, O_CLOEXEC), "pipe");
  const int done = ready[1];
  std::thread([done] {
    const bool ok = ::unshare(flags) == 0;
    if (::write(done, ok ? "y" : "n", 1) != 1) Fail("write");
    for (;;) ::pause();
  }).detach();
  char answer = 'n';
  Must(::read(ready[0], &answer, 1), "read");
  if (answer != 'y') Fail("unshare in a thread");
  ::close(ready[0]);
  ::close(ready[1]);
}

template <int flags>
void ChildUnshares(const OddArguments&) {
  Child([] { Must(::unshare(flags), "unshare"); });
}

// A child that is process 1 of a namespace of its own.
void ChildPidNamespace(const OddArguments&) {
  Must(::unshare(CLONE_NEWPID), "unshare");
  Child([] {});
}

void ChildIds(const OddArguments&) {
  Child([] {
    Must(::setgid(65534), "setgid");
    Must(::setuid(65534), "setuid");
  });
}

// A terminal of ours as the controlling one: PATH is its slave's, whose master
// somebody outside has.
void ControllingTty(const OddArguments& arguments) {
  const int fd = Must(
      ::open(ArgumentOf(arguments, 0).c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC),
      "open");
  Must(::ioctl(fd, TIOCSCTTY, 0), "TIOCSCTTY");
}

void OpenTty(const OddArguments& arguments) {
  Must(::open(ArgumentOf(arguments, 0).c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC),
       "open");
}

// Both ends.
void OwnTty(const OddArguments&) {
  const int master = Must(::posix_openpt(O_RDWR | O_NOCTTY), "openpt");
  Must(::grantpt(master), "grantpt");
  Must(::unlockpt(master), "unlockpt");
  char name[64];
  if (::ptsname_r(master, name, sizeof(name)) != 0) Fail("ptsname");
  const int slave = Must(::open(name, O_RDWR | O_NOCTTY), "open");
  Must(::ioctl(slave, TIOCSCTTY, 0), "TIOCSCTTY");
}

void OwnMaster(const OddArguments&) {
  Must(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), "openpt");
}

void Nothing(const OddArguments&) {}

// A child that leads a session of its own.
void ChildSession(const OddArguments&) {
  Child([] { Must(::setsid(), "setsid"); });
}

void NotDumpable(const OddArguments&) { ::prctl(PR_SET_DUMPABLE, 0); }

}  // namespace

const std::vector<OddKind>& OddProcesses() {
  static const std::vector<OddKind>& kinds = *new std::vector<OddKind>{
      {"nothing", &Nothing},
      {"stopped_child", &StoppedChild},
      {"zombie_child", &ZombieChild},
      {"seccomp_filter", &SeccompFilter},
      {"sysv_shm", &SysvShm},
      {"aio", &AioContext},
      {"thread_files", &ThreadUnshares<CLONE_FILES>},
      {"thread_fs", &ThreadUnshares<CLONE_FS>},
      {"thread_net", &ThreadUnshares<CLONE_NEWNET>},
      {"child_net", &ChildUnshares<CLONE_NEWNET>},
      {"child_mnt", &ChildUnshares<CLONE_NEWNS>},
      {"child_uts", &ChildUnshares<CLONE_NEWUTS>},
      {"child_ipc", &ChildUnshares<CLONE_NEWIPC>},
      {"child_user", &ChildUnshares<CLONE_NEWUSER>},
      {"child_cgroup", &ChildUnshares<CLONE_NEWCGROUP>},
      {"child_pid", &ChildPidNamespace},
      {"child_ids", &ChildIds},
      {"child_session", &ChildSession},
      {"controlling_tty", &ControllingTty},
      {"open_tty", &OpenTty},
      {"own_tty", &OwnTty},
      {"own_master", &OwnMaster},
      {"not_dumpable", &NotDumpable},
  };
  return kinds;
}

}  // namespace ckpt
