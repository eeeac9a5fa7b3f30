// Memory of a chosen size (--mib N), verified and rewritten slice by slice, so
// that pages are dirty all the time.
#include <sys/mman.h>

#include <cstdint>

#include "tests/testcases/pattern.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

constexpr uint64_t kSliceWords = uint64_t{8} << 10;  // 64 KiB, well below 1 ms

uint64_t WordOf(uint64_t generation, uint64_t index) {
  return Mix(generation, index);
}

void Run(Workload& workload) {
  const uint64_t bytes = workload.IntOption("mib", 16) << 20;
  const uint64_t slices = bytes / (kSliceWords * sizeof(uint64_t));
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) workload.Die("mmap");
  auto* const words = static_cast<uint64_t*>(at);
  for (uint64_t i = 0; i < slices * kSliceWords; ++i) words[i] = WordOf(0, i);
  for (uint64_t generation = 0;; ++generation) {
    for (uint64_t slice = 0; slice < slices; ++slice) {
      const uint64_t begin = slice * kSliceWords;
      for (uint64_t i = begin; i < begin + kSliceWords; ++i) {
        if (words[i] != WordOf(generation, i)) {
          workload.Fail("word %lu of generation %lu is %lx", i, generation,
                        words[i]);
        }
        words[i] = WordOf(generation + 1, i);
      }
      workload.Beat();
      Workload::Pause();
    }
  }
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  ckpt::Workload workload(argc, argv);
  ckpt::Run(workload);
}
