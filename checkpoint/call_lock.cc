#include "checkpoint/call_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/host.h"
#include "base/status.h"

namespace ckpt::checkpoint {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(20);

}  // namespace

absl::StatusOr<UniqueFd> LockCall(
    pid_t pid, const std::function<absl::Status()>& still_waited_for) {
  const std::string& directory = RunDirectory();
  if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return ErrnoToStatus(errno, "make directory", directory);
  }
  const std::string path = directory + "/self.lock";
  CKPT_ASSIGN_OR_RETURN(UniqueFd file,
                        OpenAt(AT_FDCWD, path, O_RDWR | O_CREAT, 0600));
  // One byte of the file for each process id: nothing is left to clean up.
  struct flock byte = {};
  byte.l_type = F_WRLCK;
  byte.l_whence = SEEK_SET;
  byte.l_start = pid;
  byte.l_len = 1;
  while (::fcntl(file.get(), F_OFD_SETLK, &byte) != 0) {
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EACCES) {
      return ErrnoToStatus(errno, "lock", path);
    }
    CKPT_RETURN_IF_ERROR(still_waited_for());
    Clock::Real().Sleep(kPollInterval);
  }
  return file;
}

}  // namespace ckpt::checkpoint
