// Workers that fork without a pause (--workers N), every child once more: there
// is a birth and a death at nearly any moment.  Every fork, every exit status
// and the number of members is checked.  A beat means that each worker has
// come on since the last one.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "tests/testcases/pattern.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

constexpr int kMaxWorkers = 64;

struct Shared {
  std::atomic<uint64_t> rounds[kMaxWorkers];  // done by each
};

int StatusOfRound(int worker, uint64_t round) {
  return static_cast<int>(Mix(worker, round) & 0x7f);
}

// Reaps `pid`, which must have ended with `expected`.
void Reap(Workload& workload, pid_t pid, int expected) {
  int status = 0;
  pid_t reaped;
  do {
    reaped = ::waitpid(pid, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  if (reaped != pid) {
    workload.Fail("child %d is lost: waitpid is %d, errno %d", pid, reaped,
                  errno);
  } else if (!WIFEXITED(status) || WEXITSTATUS(status) != expected) {
    workload.Fail("child %d ended with wait status %x", pid, status);
  }
}

[[noreturn]] void Work(Workload& workload, Shared& shared, int worker) {
  for (uint64_t round = 0;; ++round) {
    const int expected = StatusOfRound(worker, round);
    const pid_t child = ForkChild(workload, [&] {
      const pid_t grandchild =
          ForkChild(workload, [&] { ::_exit(expected ^ 1); });
      Reap(workload, grandchild, expected ^ 1);
      ::_exit(expected);
    });
    Reap(workload, child, expected);
    ++shared.rounds[worker];
  }
}

// Waits until each worker has done a round since `before`, and notes how many.
void AwaitAll(Workload& workload, const Shared& shared,
              const std::vector<pid_t>& workers,
              std::vector<uint64_t>& before) {
  for (size_t i = 0; i < workers.size(); ++i) {
    while (shared.rounds[i] == before[i]) {
      const pid_t ended = ::waitpid(-1, nullptr, WNOHANG);
      if (ended != 0) {
        workload.Fail("a member is lost: waitpid is %d, errno %d", ended,
                      errno);
      }
      Workload::Pause();
    }
    before[i] = shared.rounds[i];
  }
}

void Run(Workload& workload) {
  const auto count = static_cast<size_t>(workload.IntOption("workers", 4));
  if (count > kMaxWorkers) workload.Die("--workers");
  void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) workload.Die("mmap");
  auto& shared = *new (memory) Shared{};
  std::vector<pid_t> workers;
  for (size_t i = 0; i < count; ++i) {
    workers.push_back(ForkChild(
        workload, [&] { Work(workload, shared, static_cast<int>(i)); }));
  }
  std::vector<uint64_t> before(count);
  for (;;) {
    AwaitAll(workload, shared, workers, before);
    workload.Beat();
  }
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  ckpt::Workload workload(argc, argv);
  ckpt::Run(workload);
}
