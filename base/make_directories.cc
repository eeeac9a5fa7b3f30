#include "base/make_directories.h"

#include <sys/stat.h>

#include <cerrno>

#include "base/status.h"

namespace ckpt {

absl::Status MakeDirectories(const std::string& path, mode_t mode) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) {
      return ErrnoToStatus(errno, "make directory", part);
    }
    if (slash == std::string::npos) return absl::OkStatus();
  }
}

}  // namespace ckpt
