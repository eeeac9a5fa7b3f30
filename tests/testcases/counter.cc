// One process that counts: part of each round is computation, part sleep.
#include <cstdint>
#include <vector>

#include "tests/testcases/pattern.h"
#include "tests/testcases/workload.h"

int main(int argc, char** argv) {
  ckpt::Workload workload(argc, argv);
  constexpr uint64_t kSteps = 10'000;   // 100-300 us of computation
  uint64_t chain = 0;                   // of hashes, on the stack
  std::vector<uint64_t> copy(4096, 0);  // the same on the heap, page by page
  for (;;) {
    const uint64_t round = workload.beats();
    for (uint64_t i = 0; i < copy.size(); i += 512) {
      if (copy[i] != chain) {
        workload.Fail("round %lu: copy %lu is %lx, not %lx", round, i, copy[i],
                      chain);
      }
    }
    uint64_t next = chain;
    for (uint64_t i = 0; i < kSteps; ++i) next = ckpt::Mix(next, round + i);
    uint64_t again = chain;
    for (uint64_t i = 0; i < kSteps; ++i) again = ckpt::Mix(again, round + i);
    if (next != again) workload.Fail("round %lu: computed two ways", round);
    chain = next;
    for (uint64_t& value : copy) value = chain;
    workload.Beat();
    workload.Pause();
  }
}
