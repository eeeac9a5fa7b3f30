// Memory shared between the root and a child: anonymous, a memfd and a file.
// They take turns: one writes every page anew, the other checks it.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <ctime>
#include <string>

#include "tests/testcases/pattern.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

constexpr uint64_t kWords = uint64_t{32} << 10;  // 256 KiB each

// A word knows its turn, so that a torn page can be told from a lost one.
uint64_t WordOf(uint64_t turn, uint64_t index) {
  return turn << 32 | (Mix(turn, index) & 0xffff'ffff);
}

struct Region {
  const char* name;
  std::atomic<uint64_t>* words;
  // CRIU keeps no contents of a mapped file: what is restored from an older
  // image finds the file as it was left, that is, ahead of its own turn.
  bool may_be_ahead;
};

Region MapRegion(Workload& workload, const char* name, int fd,
                 bool may_be_ahead) {
  const size_t size = kWords * sizeof(uint64_t);
  if (fd >= 0 && ::ftruncate(fd, size) != 0) workload.Die("ftruncate");
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                    MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
  if (at == MAP_FAILED) workload.Die("mmap");
  return {name, static_cast<std::atomic<uint64_t>*>(at), may_be_ahead};
}

void WriteTurn(const Region& region, uint64_t turn) {
  for (uint64_t i = 0; i < kWords; i += 64) {
    region.words[i].store(WordOf(turn, i), std::memory_order_relaxed);
  }
}

void CheckTurn(Workload& workload, const Region& region, uint64_t turn) {
  for (uint64_t i = 0; i < kWords; i += 64) {
    const uint64_t word = region.words[i].load(std::memory_order_relaxed);
    const uint64_t found = word >> 32;
    const bool ahead = region.may_be_ahead && found > turn;
    if (word != WordOf(found, i) || (found != turn && !ahead)) {
      workload.Fail("%s memory: word %lu is %lx at turn %lu", region.name, i,
                    word, turn);
      return;
    }
  }
}

// Waits for the turn; it is given by the other process, in shared memory.
void Await(const std::atomic<uint64_t>& turn, uint64_t wanted) {
  constexpr timespec kPoll = {0, 100'000};
  while (turn.load(std::memory_order_acquire) != wanted) {
    ::nanosleep(&kPoll, nullptr);
  }
}

void Run(Workload& workload) {
  const std::string path = workload.FilePath(".mapped");
  const int memfd = ::memfd_create("shared_memory", MFD_CLOEXEC);
  const int file =
      ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (memfd < 0 || file < 0) workload.Die("a file to map");
  const Region regions[] = {
      MapRegion(workload, "anonymous", -1, false),
      MapRegion(workload, "memfd", memfd, false),
      MapRegion(workload, "file", file, true),
  };
  // Word 1 is in no turn's pattern: whose turn it is.
  std::atomic<uint64_t>& turn = regions[0].words[1];

  ForkChild(workload, [&] {
    for (uint64_t mine = 1;; mine += 2) {
      Await(turn, mine);
      for (const Region& region : regions) {
        CheckTurn(workload, region, mine);
        WriteTurn(region, mine + 1);
      }
      turn.store(mine + 1, std::memory_order_release);
    }
  });
  for (uint64_t mine = 1;; mine += 2) {
    for (const Region& region : regions) WriteTurn(region, mine);
    turn.store(mine, std::memory_order_release);
    Await(turn, mine + 1);
    for (const Region& region : regions) {
      CheckTurn(workload, region, mine + 1);
    }
    uint64_t word = 0;
    if (::pread(memfd, &word, sizeof word, 0) != sizeof word ||
        word != WordOf(mine + 1, 0)) {
      workload.Fail("memfd reads as %lx at turn %lu", word, mine + 1);
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
