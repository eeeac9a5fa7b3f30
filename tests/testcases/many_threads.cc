// Thousands of threads (--threads N, the first one included) that wait for a
// round to begin, and are counted at its end.
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>

#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

constexpr size_t kStackBytes = 64UL * 1024;
constexpr timespec kRest = {0, 50'000'000};

std::atomic<uint32_t> round_number{0};
std::atomic<uint32_t> answers{0};

void* AnswerEachRound(void* /*unused*/) {
  for (uint32_t round = 0;; ++round) {
    while (round_number.load() == round) {
      ::syscall(SYS_futex, &round_number, FUTEX_WAIT_PRIVATE, round, nullptr,
                nullptr, 0);
    }
    ++answers;
  }
}

void StartThreads(Workload& workload, uint32_t count) {
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, kStackBytes);
  for (uint32_t i = 0; i < count; ++i) {
    pthread_t thread;
    errno = ::pthread_create(&thread, &attributes, &AnswerEachRound, nullptr);
    if (errno != 0) workload.Die("pthread_create");
  }
}

void Run(Workload& workload) {
  const auto others =
      static_cast<uint32_t>(workload.IntOption("threads", 100) - 1);
  StartThreads(workload, others);
  for (;;) {
    ++round_number;
    ::syscall(SYS_futex, &round_number, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr,
              nullptr, 0);
    // Whoever is lost is waited for: no more beats then.
    while (answers.load() < others) Workload::Pause();
    if (answers.exchange(0) != others) {
      workload.Fail("%u threads answered more than once", answers.load());
    }
    workload.Beat();
    ::nanosleep(&kRest, nullptr);
  }
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  ckpt::Workload workload(argc, argv);
  ckpt::Run(workload);
}
