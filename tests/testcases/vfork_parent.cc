// A parent that is in vfork() most of the time, waiting for a child that uses
// its memory.
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <ctime>

#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

constexpr timespec kNap = {0, 8'000'000};

void Run(Workload& workload) {
  // Written by the child, in its parent's memory.
  volatile uint64_t seen = 0;
  for (;;) {
    const uint64_t round = workload.beats();
    const auto expected = static_cast<int>(round & 0x7f);
    const pid_t child = ::vfork();  // NOLINT: this is what it is about
    if (child < 0) workload.Die("vfork");
    if (child == 0) {
      const bool slept = ::nanosleep(&kNap, nullptr) == 0;
      seen = seen + 1;
      ::_exit(slept ? expected : 0xff);
    }
    if (seen != round + 1) {
      workload.Fail("vfork() returned before the child's end");
    }
    int status = 0;
    if (::waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
        WEXITSTATUS(status) != expected) {
      workload.Fail("child %d: wait status %x, errno %d", child, status, errno);
    }
    workload.Beat();
  }
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  ckpt::Workload workload(argc, argv);
  ckpt::Run(workload);
}
