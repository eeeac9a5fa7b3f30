// A thread that is nearly always in one blocking system call (--call NAME), and
// reports every one that fails with EINTR: no signal is ever sent to it, so
// whatever interrupts it is somebody's doing from outside.
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <string>

#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

constexpr timespec kNap = {0, 8'000'000};
constexpr int kFarAwayMs = 600'000;

// One object for each kind of call; fds[0] is waited on, fds[1] ends the wait.
struct Blocking {
  int fds[2] = {-1, -1};
  int extra = -1;  // an epoll, a message queue, a set of semaphores, a child
  std::string path;
  sem_t semaphore;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  std::atomic<uint32_t> word{0};
  bool given = false;
};

struct Call {
  const char* name;
  void (*prepare)(Workload&, Blocking&);
  int (*block)(Blocking&);    // -1 and errno, as a system call
  void (*finish)(Blocking&);  // ends block(), from the other thread
};

timespec FromNow(clockid_t clock, time_t seconds, int64_t ns) {
  timespec time;
  ::clock_gettime(clock, &time);
  time.tv_sec += seconds + (time.tv_nsec + ns) / 1'000'000'000;
  time.tv_nsec = (time.tv_nsec + ns) % 1'000'000'000;
  return time;
}

// --- What the waits are for ------------------------------------------------

void Nothing(Workload& /*workload*/, Blocking& /*on*/) {}
void EndsByItself(Blocking& /*on*/) {}

void MakePipe(Workload& workload, Blocking& on) {
  if (::pipe2(on.fds, O_CLOEXEC) != 0) workload.Die("pipe2");
}

void MakeEpoll(Workload& workload, Blocking& on) {
  MakePipe(workload, on);
  on.extra = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event = {};
  event.events = EPOLLIN;
  if (::epoll_ctl(on.extra, EPOLL_CTL_ADD, on.fds[0], &event) != 0) {
    workload.Die("epoll_ctl");
  }
}

void MakeSockets(Workload& workload, Blocking& on) {
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, on.fds) != 0) {
    workload.Die("socketpair");
  }
}

void SetTimeout(Workload& workload, int fd) {
  const timeval limit = {600, 0};
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0) {
    workload.Die("SO_RCVTIMEO");
  }
}

void MakeSocketsWithTimeout(Workload& workload, Blocking& on) {
  MakeSockets(workload, on);
  SetTimeout(workload, on.fds[0]);
}

void MakeInotify(Workload& workload, Blocking& on) {
  on.fds[0] = ::inotify_init1(IN_CLOEXEC);
  on.path = workload.FilePath(".watched");
  on.fds[1] = ::open(on.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (::inotify_add_watch(on.fds[0], on.path.c_str(), IN_MODIFY) < 0) {
    workload.Die("inotify_add_watch");
  }
}

void MakeLockedFile(Workload& workload, Blocking& on) {
  on.path = workload.FilePath(".lock");
  for (int& fd : on.fds) {
    fd = ::open(on.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) workload.Die("open");
  }
  if (::flock(on.fds[1], LOCK_EX) != 0) workload.Die("flock");
}

// System V objects outlive their processes, unless their namespace ends too.
void EnterOwnIpcNamespace(Workload& workload) {
  if (::unshare(CLONE_NEWIPC) != 0) workload.Die("unshare");
}

void MakeQueue(Workload& workload, Blocking& on) {
  EnterOwnIpcNamespace(workload);
  on.extra = ::msgget(IPC_PRIVATE, 0600);
  if (on.extra < 0) workload.Die("msgget");
}

void MakeSemaphores(Workload& workload, Blocking& on) {
  EnterOwnIpcNamespace(workload);
  on.extra = ::semget(IPC_PRIVATE, 1, 0600);
  if (on.extra < 0) workload.Die("semget");
}

void MakeSemaphore(Workload& workload, Blocking& on) {
  if (::sem_init(&on.semaphore, 0, 0) != 0) workload.Die("sem_init");
}

void MakeUdpSocket(Workload& workload, Blocking& on) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  for (int& fd : on.fds) fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  auto* const name = reinterpret_cast<sockaddr*>(&address);
  if (::bind(on.fds[0], name, size) != 0 ||
      ::getsockname(on.fds[0], name, &size) != 0 ||
      ::connect(on.fds[1], name, size) != 0) {
    workload.Die("a UDP socket");
  }
}

void MakeUdpSocketWithTimeout(Workload& workload, Blocking& on) {
  MakeUdpSocket(workload, on);
  SetTimeout(workload, on.fds[0]);
}

void MakeTimer(Workload& workload, Blocking& on) {
  on.fds[0] = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  if (on.fds[0] < 0) workload.Die("timerfd_create");
}

// --- The waits and their ends ----------------------------------------------

void WriteByte(Blocking& on) { (void)!::write(on.fds[1], "x", 1); }

int Drain(Blocking& on) {
  char byte;
  return ::read(on.fds[0], &byte, 1) == 1 ? 0 : -1;
}

int BlockInPoll(Blocking& on) {
  pollfd fd = {on.fds[0], POLLIN, 0};
  return ::poll(&fd, 1, kFarAwayMs) == 1 ? Drain(on) : -1;
}

int BlockInSelect(Blocking& on) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(on.fds[0], &set);
  timeval limit = {600, 0};
  return ::select(on.fds[0] + 1, &set, nullptr, nullptr, &limit) == 1
             ? Drain(on)
             : -1;
}

int BlockInEpoll(Blocking& on) {
  epoll_event event;
  return ::epoll_wait(on.extra, &event, 1, kFarAwayMs) == 1 ? Drain(on) : -1;
}

int BlockInFutex(Blocking& on) {
  while (on.word.load() == 0) {
    if (::syscall(SYS_futex, &on.word, FUTEX_WAIT, 0, nullptr, nullptr, 0) !=
            0 &&
        errno != EAGAIN) {
      return -1;
    }
  }
  on.word = 0;
  return 0;
}

void WakeFutex(Blocking& on) {
  on.word = 1;
  ::syscall(SYS_futex, &on.word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

int BlockInCondition(Blocking& on) {
  const timespec limit = FromNow(CLOCK_REALTIME, 600, 0);
  int error = 0;
  ::pthread_mutex_lock(&on.mutex);
  while (!on.given && error == 0) {
    error = ::pthread_cond_timedwait(&on.condition, &on.mutex, &limit);
  }
  on.given = false;
  ::pthread_mutex_unlock(&on.mutex);
  errno = error;
  return error == 0 ? 0 : -1;
}

void SignalCondition(Blocking& on) {
  ::pthread_mutex_lock(&on.mutex);
  on.given = true;
  ::pthread_cond_signal(&on.condition);
  ::pthread_mutex_unlock(&on.mutex);
}

int BlockInSemaphore(Blocking& on) {
  const timespec limit = FromNow(CLOCK_REALTIME, 600, 0);
  return ::sem_timedwait(&on.semaphore, &limit);
}

int BlockInInotify(Blocking& on) {
  char event[sizeof(inotify_event) + 256];
  return ::read(on.fds[0], event, sizeof event) > 0 ? 0 : -1;
}

int BlockInFlock(Blocking& on) {
  if (::flock(on.fds[0], LOCK_EX) != 0) return -1;
  ::flock(on.fds[0], LOCK_UN);
  on.word = 1;  // the other side takes it back
  while (on.word.load() != 0) Workload::Pause();
  return 0;
}

void LetLockGo(Blocking& on) {
  ::flock(on.fds[1], LOCK_UN);
  while (on.word.load() == 0) Workload::Pause();
  ::flock(on.fds[1], LOCK_EX);
  on.word = 0;
}

struct Message {
  long type = 1;  // NOLINT(google-runtime-int): as msgsnd(2) has it
  char text = 'x';
};

int BlockInQueue(Blocking& on) {
  Message message;
  return ::msgrcv(on.extra, &message, sizeof message.text, 0, 0) < 0 ? -1 : 0;
}

void SendMessage(Blocking& on) {
  const Message message;
  ::msgsnd(on.extra, &message, sizeof message.text, 0);
}

int BlockInSemop(Blocking& on) {
  sembuf take = {0, -1, 0};
  return ::semop(on.extra, &take, 1);
}

void GiveSemaphore(Blocking& on) {
  sembuf give = {0, 1, 0};
  ::semop(on.extra, &give, 1);
}

int BlockInSigtimedwait(Blocking& /*on*/) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGUSR1);
  if (::sigtimedwait(&set, nullptr, &kNap) < 0 && errno != EAGAIN) return -1;
  return 0;
}

int BlockInTimer(Blocking& on) {
  const itimerspec once = {{0, 0}, kNap};
  uint64_t count;
  if (::timerfd_settime(on.fds[0], 0, &once, nullptr) != 0) return -1;
  return ::read(on.fds[0], &count, sizeof count) == sizeof count ? 0 : -1;
}

int BlockInNanosleep(Blocking& /*on*/) { return ::nanosleep(&kNap, nullptr); }

int BlockInClockNanosleep(Blocking& /*on*/) {
  const timespec end = FromNow(CLOCK_MONOTONIC, 0, kNap.tv_nsec);
  errno = ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, nullptr);
  return errno == 0 ? 0 : -1;
}

int BlockInWaitpid(Blocking& /*on*/) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::nanosleep(&kNap, nullptr);
    ::_exit(0);
  }
  return ::waitpid(child, nullptr, 0) == child ? 0 : -1;
}

constexpr Call kCalls[] = {
    {"clock_nanosleep", Nothing, BlockInClockNanosleep, EndsByItself},
    {"epoll_wait", MakeEpoll, BlockInEpoll, WriteByte},
    {"flock", MakeLockedFile, BlockInFlock, LetLockGo},
    {"futex", Nothing, BlockInFutex, WakeFutex},
    {"msgrcv", MakeQueue, BlockInQueue, SendMessage},
    {"nanosleep", Nothing, BlockInNanosleep, EndsByItself},
    {"poll", MakePipe, BlockInPoll, WriteByte},
    {"pthread_cond_timedwait", Nothing, BlockInCondition, SignalCondition},
    {"read_inotify", MakeInotify, BlockInInotify, WriteByte},
    {"read_pipe", MakePipe, Drain, WriteByte},
    {"read_timerfd", MakeTimer, BlockInTimer, EndsByItself},
    {"recv_udp", MakeUdpSocket, Drain, WriteByte},
    {"recv_udp_timeout", MakeUdpSocketWithTimeout, Drain, WriteByte},
    {"recv_unix", MakeSockets, Drain, WriteByte},
    {"recv_unix_timeout", MakeSocketsWithTimeout, Drain, WriteByte},
    {"select", MakePipe, BlockInSelect, WriteByte},
    {"sem_timedwait", MakeSemaphore, BlockInSemaphore,
     [](Blocking& on) { ::sem_post(&on.semaphore); }},
    {"semop", MakeSemaphores, BlockInSemop, GiveSemaphore},
    {"sigtimedwait", Nothing, BlockInSigtimedwait, EndsByItself},
    {"waitpid", Nothing, BlockInWaitpid, EndsByItself},
};

// What the two threads share; never destroyed.
struct Rounds {
  Workload& workload;
  const Call& call;
  Blocking on;
  std::atomic<uint64_t> done{0};
};

void* RunCaller(void* argument) {
  auto& rounds = *static_cast<Rounds*>(argument);
  for (;;) {
    if (rounds.call.block(rounds.on) == 0) {
      ++rounds.done;
    } else {
      rounds.workload.Fail("%s: %s", rounds.call.name, strerrordesc_np(errno));
    }
  }
}

void Run(Workload& workload, const Call& call) {
  auto& rounds = *new Rounds{workload, call, {}, {}};
  call.prepare(workload, rounds.on);
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  pthread_t caller;
  if (::pthread_create(&caller, nullptr, &RunCaller, &rounds) != 0) {
    workload.Die("pthread_create");
  }
  for (uint64_t round = 1;; ++round) {
    ::nanosleep(&kNap, nullptr);
    call.finish(rounds.on);
    while (rounds.done < round) Workload::Pause();
    workload.Beat();
  }
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  ckpt::Workload workload(argc, argv);
  const std::string wanted = workload.Option("call", "");
  for (const ckpt::Call& call : ckpt::kCalls) {
    if (wanted == call.name) ckpt::Run(workload, call);
  }
  errno = EINVAL;
  workload.Die("--call");
}
