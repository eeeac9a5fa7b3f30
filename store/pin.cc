#include "store/pin.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "store/layout.h"

namespace ckpt {

absl::Status SetPin(int dir_fd, const std::string& path) {
  const std::string pin = absl::StrCat(path, "/", kPinFile);
  const absl::StatusOr<UniqueFd> file =
      OpenAt(dir_fd, kPinFile, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);
  if (!file.ok()) {
    return WithMessage(file.status(),
                       absl::StrCat(pin, ": ", file.status().message()));
  }
  CKPT_RETURN_IF_ERROR(Fsync(file->get(), pin));
  return Fsync(dir_fd, path);
}

absl::Status ClearPin(int dir_fd, const std::string& path) {
  if (::unlinkat(dir_fd, kPinFile, 0) != 0 && errno != ENOENT) {
    return ErrnoToStatus(errno, "remove", absl::StrCat(path, "/", kPinFile));
  }
  return Fsync(dir_fd, path);
}

bool IsPinned(int dir_fd) {
  struct stat about {};
  return ::fstatat(dir_fd, kPinFile, &about, AT_SYMLINK_NOFOLLOW) == 0 ||
         errno != ENOENT;
}

}  // namespace ckpt
