#include "base/slow_close.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/prepared_steps.h"

namespace ckpt {

void CloseElsewhere(UniqueFd fd) {
  // End-of-file tells the other process that it is the last to hold it.
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return;
  const UniqueFd told(ends[0]);
  UniqueFd tell(ends[1]);
  // Made before the fork: a child of a process with threads may not allocate.
  const std::vector<int> kept = SortedDescriptors({fd.get(), told.get()});
  // Twice, so that it is nobody's child that would have to be reaped.
  const pid_t child = ::fork();
  if (child == 0) {
    if (::fork() == 0) {
      ::prctl(PR_SET_NAME, "ckpt-close");
      CloseOthers(kept);
      char byte;
      while (::read(told.get(), &byte, 1) < 0 && errno == EINTR) {
      }
    }
    ::_exit(0);
  }
  while (child > 0 && ::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  fd.Reset();
  tell.Reset();
}

}  // namespace ckpt
