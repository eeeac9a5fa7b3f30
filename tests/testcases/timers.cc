// Timers of every kind, which must go on firing: a POSIX timer, setitimer, a
// timerfd and nanosleep.  Bounds are in rounds, not in wall time: every round
// waits for the timerfd, so the others must have fired meanwhile.
#include <signal.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <string>

#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

// A window takes at least 50 * 4 ms: 40 periods of the POSIX timer and 28 of
// the interval timer.  A quarter of them is enough, for signals may merge.
constexpr uint64_t kWindow = 50;
constexpr int64_t kRoundNs = 4'000'000;
constexpr int64_t kPosixNs = 5'000'000;
constexpr int64_t kItimerUs = 7'000;
constexpr int64_t kSlackNs = 50'000;
constexpr uint64_t kPosixMin = 10;
constexpr uint64_t kItimerMin = 7;

std::atomic<uint64_t> posix_fired{0};
std::atomic<uint64_t> itimer_fired{0};

void Catch(Workload& workload, int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  if (::sigaction(signal, &action, nullptr) != 0) workload.Die("sigaction");
}

void StartPosixTimer(Workload& workload) {
  Catch(workload, SIGRTMIN, [](int) { ++posix_fired; });
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGRTMIN;
  timer_t timer;
  const itimerspec every = {{0, kPosixNs}, {0, kPosixNs}};
  if (::timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
      ::timer_settime(timer, 0, &every, nullptr) != 0) {
    workload.Die("timer_create");
  }
}

void StartIntervalTimer(Workload& workload) {
  Catch(workload, SIGALRM, [](int) { ++itimer_fired; });
  const itimerval every = {{0, kItimerUs}, {0, kItimerUs}};
  if (::setitimer(ITIMER_REAL, &every, nullptr) != 0) workload.Die("setitimer");
}

// A timerfd: one period at a time, or periodic (--timerfd periodic).
class RoundTimer {
 public:
  explicit RoundTimer(Workload& workload)
      : periodic_(workload.Option("timerfd", "single") == "periodic"),
        fd_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)) {
    if (fd_ < 0) workload.Die("timerfd_create");
    Arm(workload);
  }

  void Await(Workload& workload) {
    uint64_t expirations = 0;
    ssize_t got;
    do {
      got = ::read(fd_, &expirations, sizeof expirations);
    } while (got < 0 && errno == EINTR);
    if (got != sizeof expirations || expirations == 0 ||
        (!periodic_ && expirations != 1)) {
      workload.Fail("timerfd: read is %zd, %lu expirations, errno %d", got,
                    expirations, errno);
    }
    if (!periodic_) Arm(workload);
  }

 private:
  void Arm(Workload& workload) {
    const itimerspec spec = {{0, periodic_ ? kRoundNs : 0}, {0, kRoundNs}};
    if (::timerfd_settime(fd_, 0, &spec, nullptr) != 0) {
      workload.Fail("timerfd_settime: errno %d", errno);
    }
  }

  const bool periodic_;
  const int fd_;
};

// Sleeps 1 ms although signals come.  The rest that is told after a signal may
// exceed what was asked for by the timer slack (50 us, PR_SET_TIMERSLACK).
void Sleep(Workload& workload) {
  timespec rest = {0, 1'000'000};
  for (;;) {
    const timespec wanted = rest;
    if (::nanosleep(&wanted, &rest) == 0) return;
    if (errno != EINTR || rest.tv_sec != 0 ||
        rest.tv_nsec > wanted.tv_nsec + kSlackNs) {
      workload.Fail("nanosleep left %ld s %ld ns, errno %d", rest.tv_sec,
                    rest.tv_nsec, errno);
      return;
    }
  }
}

void Run(Workload& workload) {
  StartPosixTimer(workload);
  StartIntervalTimer(workload);
  RoundTimer round_timer(workload);
  uint64_t posix_before = posix_fired;
  uint64_t itimer_before = itimer_fired;
  for (;;) {
    round_timer.Await(workload);
    Sleep(workload);
    workload.Beat();
    if (workload.beats() % kWindow != 0) continue;
    if (posix_fired - posix_before < kPosixMin) {
      workload.Fail("the POSIX timer fired %lu times in %lu rounds",
                    posix_fired - posix_before, kWindow);
    }
    if (itimer_fired - itimer_before < kItimerMin) {
      workload.Fail("setitimer fired %lu times in %lu rounds",
                    itimer_fired - itimer_before, kWindow);
    }
    posix_before = posix_fired;
    itimer_before = itimer_fired;
  }
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  ckpt::Workload workload(argc, argv);
  ckpt::Run(workload);
}
