// Sixteen threads that hand a token round in a ring, each with thread-local
// state that must agree with the number of laps.
#include <unistd.h>

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/testcases/pattern.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

constexpr uint64_t kThreads = 16;

struct Ring {
  std::mutex mutex;
  std::condition_variable moved[kThreads + 1];  // the last is the main thread's
  uint64_t token = 0;  // guarded by mutex: lap * (kThreads + 1) + whose turn
  uint64_t chain = 0;  // guarded by mutex: hash over all turns
};

thread_local uint64_t my_laps = 0;
thread_local uint64_t my_chain = 0;
thread_local pid_t my_tid = 0;

// Waits for its turn, checks, and passes the token on; `index` of the ring.
void TakeTurn(Workload& workload, Ring& ring, uint64_t index) {
  std::unique_lock<std::mutex> lock(ring.mutex);
  ring.moved[index].wait(lock,
                         [&] { return ring.token % (kThreads + 1) == index; });
  const uint64_t lap = ring.token / (kThreads + 1);
  if (my_laps != lap) {
    workload.Fail("thread %lu is at lap %lu, the token at %lu", index, my_laps,
                  lap);
  }
  uint64_t expected = 0;
  if (lap > 0) expected = Mix(lap - 1, index);
  if (my_chain != expected) {
    workload.Fail("thread %lu has the value %lx at lap %lu", index, my_chain,
                  lap);
  }
  if (my_tid != ::gettid()) {
    workload.Fail("thread %lu was %d and is %d", index, my_tid, ::gettid());
  }
  my_chain = Mix(lap, index);
  ++my_laps;
  ring.chain = Mix(ring.chain, ring.token);
  ++ring.token;
  ring.moved[ring.token % (kThreads + 1)].notify_one();
}

void Run(Workload& workload) {
  Ring& ring = *new Ring;
  for (uint64_t i = 0; i < kThreads; ++i) {
    std::thread([&workload, &ring, i] {
      my_tid = ::gettid();
      for (;;) TakeTurn(workload, ring, i);
    }).detach();
  }
  my_tid = ::gettid();
  uint64_t chain = 0;
  uint64_t turns = 0;
  for (;;) {
    TakeTurn(workload, ring, kThreads);
    {
      const std::lock_guard<std::mutex> lock(ring.mutex);
      while (turns < ring.token) chain = Mix(chain, turns++);
      if (chain != ring.chain) {
        workload.Fail("after %lu turns their hash is %lx, not %lx", turns,
                      ring.chain, chain);
      }
    }
    workload.Beat();
    Workload::Pause();
  }
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  ckpt::Workload workload(argc, argv);
  ckpt::Run(workload);
}
