// Small file-system calls with errors as Status.  Names in errors are the paths
// given.  EINTR is retried here.  All functions are thread-safe.
//
//   CKPT_ASSIGN_OR_RETURN(UniqueFd dir, OpenDirectory("/var/lib/ckpt"));
//   CKPT_ASSIGN_OR_RETURN(std::string text, ReadFileAt(dir.get(), "x"));
#ifndef CKPT_BASE_FILE_H_
#define CKPT_BASE_FILE_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace ckpt {

// Opens a directory for use with the *At functions (O_DIRECTORY | O_CLOEXEC).
absl::StatusOr<UniqueFd> OpenDirectory(const std::string& path);

// openat() with O_CLOEXEC added; `mode` matters with O_CREAT only.
absl::StatusOr<UniqueFd> OpenAt(int dir_fd, const std::string& name, int flags,
                                mode_t mode = 0600);

// Whole contents of a file, of unknown size (/proc, cgroup) or known.
absl::StatusOr<std::string> ReadFileAt(int dir_fd, const std::string& name);
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Writes `data` in one write() to an existing file, as kernel files want it.
// An error of the write is returned; a short write is Internal.
absl::Status WriteKernelFileAt(int dir_fd, const std::string& name,
                               absl::string_view data);

// write() until all is written.
absl::Status WriteAll(int fd, absl::string_view data, absl::string_view name);

// Target of a symbolic link.
absl::StatusOr<std::string> ReadLink(const std::string& path);

// Names in a directory, without "." and "..", sorted.
absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path);
absl::StatusOr<std::vector<std::string>> ListDirectoryAt(
    int dir_fd, const std::string& name);

// fsync() of a descriptor; `name` is for the message.
absl::Status Fsync(int fd, absl::string_view name);

}  // namespace ckpt

#endif  // CKPT_BASE_FILE_H_
