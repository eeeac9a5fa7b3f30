// Four long-lived children that are pinged through pipes, and ever new
// short-lived ones that are reaped: some at once, some only after having been
// zombies for a while.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "tests/testcases/exact_io.h"
#include "tests/testcases/pattern.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

constexpr int kLongLived = 4;

struct Child {
  pid_t pid = 0;
  int to = -1;
  int from = -1;
};

Child StartAnswerer(Workload& workload, int number) {
  int ping[2];
  int pong[2];
  if (::pipe2(ping, O_CLOEXEC) != 0 || ::pipe2(pong, O_CLOEXEC) != 0) {
    workload.Die("pipe2");
  }
  const pid_t pid = ForkChild(workload, [&] {
    ::close(ping[1]);
    ::close(pong[0]);
    uint64_t expected = 0;
    for (uint64_t value; ReadExactly(ping[0], &value, sizeof value);) {
      if (value != expected++) {
        workload.Fail("child %d got ping %lu instead of %lu", number, value,
                      expected - 1);
      }
      const uint64_t answer = Mix(number, value);
      WriteExactly(pong[1], &answer, sizeof answer);
    }
    ::_exit(0);
  });
  ::close(ping[0]);
  ::close(pong[1]);
  return {pid, ping[1], pong[0]};
}

// The exit status that the child of a round is to have.
int StatusOfRound(uint64_t round, int which) {
  return static_cast<int>(Mix(round, which) & 0x7f);
}

pid_t StartShortLived(Workload& workload, uint64_t round, int which) {
  return ForkChild(workload, [&] {
    if (which == 0) Workload::Pause();
    ::_exit(StatusOfRound(round, which));
  });
}

void Reap(Workload& workload, pid_t pid, uint64_t round, int which) {
  int status = 0;
  const pid_t reaped = ::waitpid(pid, &status, 0);
  if (reaped != pid) {
    workload.Fail("round %lu: waitpid(%d) is %d, errno %d", round, pid, reaped,
                  errno);
  } else if (!WIFEXITED(status) ||
             WEXITSTATUS(status) != StatusOfRound(round, which)) {
    workload.Fail("round %lu: child %d ended with wait status %x", round, pid,
                  status);
  }
}

void Ping(Workload& workload, const Child& child, int number, uint64_t round) {
  uint64_t answer = 0;
  if (!WriteExactly(child.to, &round, sizeof round) ||
      !ReadExactly(child.from, &answer, sizeof answer)) {
    workload.Fail("round %lu: child %d (%d) is gone", round, number, child.pid);
    return;
  }
  if (answer != Mix(number, round)) {
    workload.Fail("round %lu: child %d answered %lx", round, number, answer);
  }
}

void Run(Workload& workload) {
  Child children[kLongLived];
  for (int i = 0; i < kLongLived; ++i) children[i] = StartAnswerer(workload, i);
  const pid_t self = ::getpid();
  for (;;) {
    const uint64_t round = workload.beats();
    const pid_t slow = StartShortLived(workload, round, 0);
    const pid_t quick = StartShortLived(workload, round, 1);
    for (int i = 0; i < kLongLived; ++i) Ping(workload, children[i], i, round);
    Reap(workload, slow, round, 0);
    Workload::Pause();  // the quick one is a zombie meanwhile
    Reap(workload, quick, round, 1);
    if (::getpid() != self) workload.Fail("pid changed to %d", ::getpid());
    workload.Beat();
  }
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  ckpt::Workload workload(argc, argv);
  ckpt::Run(workload);
}
