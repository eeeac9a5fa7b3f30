#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ckpt {
namespace {

template <typename Call>
auto RetryOnEintr(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

absl::StatusOr<std::string> ReadAll(int fd, const std::string& name) {
  std::string data;
  // Most kernel files fit; larger files grow by doubling.
  size_t used = 0;
  data.resize(4096);
  while (true) {
    const ssize_t count = RetryOnEintr(
        [&] { return ::read(fd, data.data() + used, data.size() - used); });
    if (count < 0) return ErrnoToStatus(errno, "read", name);
    if (count == 0) break;
    used += static_cast<size_t>(count);
    if (used == data.size()) data.resize(2 * data.size());
  }
  data.resize(used);
  return data;
}

absl::StatusOr<std::vector<std::string>> ListDirectoryFd(
    UniqueFd fd, const std::string& name) {
  DIR* const dir = ::fdopendir(fd.get());
  if (dir == nullptr) return ErrnoToStatus(errno, "list", name);
  fd.Release();  // closedir() closes it
  const std::unique_ptr<DIR, int (*)(DIR*)> closer(dir, &::closedir);
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    // readdir() is safe on a stream of one's own (glibc).
    const dirent* entry = ::readdir(dir);  // NOLINT(concurrency-mt-unsafe)
    if (entry == nullptr) break;
    const absl::string_view entry_name = entry->d_name;
    if (entry_name != "." && entry_name != "..") {
      names.emplace_back(entry_name);
    }
  }
  if (errno != 0) return ErrnoToStatus(errno, "list", name);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

absl::StatusOr<UniqueFd> OpenAt(int dir_fd, const std::string& name, int flags,
                                mode_t mode) {
  UniqueFd fd(RetryOnEintr(
      [&] { return ::openat(dir_fd, name.c_str(), flags | O_CLOEXEC, mode); }));
  if (!fd.ok()) return ErrnoToStatus(errno, "open", name);
  return fd;
}

absl::StatusOr<UniqueFd> OpenDirectory(const std::string& path) {
  return OpenAt(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
}

absl::StatusOr<std::string> ReadFileAt(int dir_fd, const std::string& name) {
  CKPT_ASSIGN_OR_RETURN(const UniqueFd fd, OpenAt(dir_fd, name, O_RDONLY));
  return ReadAll(fd.get(), name);
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  return ReadFileAt(AT_FDCWD, path);
}

absl::Status WriteKernelFileAt(int dir_fd, const std::string& name,
                               absl::string_view data) {
  CKPT_ASSIGN_OR_RETURN(const UniqueFd fd, OpenAt(dir_fd, name, O_WRONLY));
  const ssize_t count =
      RetryOnEintr([&] { return ::write(fd.get(), data.data(), data.size()); });
  if (count < 0) {
    return ErrnoToStatus(errno, absl::StrCat("write '", data, "' to"), name);
  }
  if (static_cast<size_t>(count) != data.size()) {
    return absl::InternalError(absl::StrCat("short write to ", name));
  }
  return absl::OkStatus();
}

absl::Status WriteAll(int fd, absl::string_view data, absl::string_view name) {
  while (!data.empty()) {
    const ssize_t count =
        RetryOnEintr([&] { return ::write(fd, data.data(), data.size()); });
    if (count < 0) return ErrnoToStatus(errno, "write", name);
    data.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadLink(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t length = ::readlink(path.c_str(), target, sizeof(target));
  if (length < 0) return ErrnoToStatus(errno, "readlink", path);
  return std::string(target, static_cast<size_t>(length));
}

absl::StatusOr<std::vector<std::string>> ListDirectoryAt(
    int dir_fd, const std::string& name) {
  CKPT_ASSIGN_OR_RETURN(UniqueFd fd,
                        OpenAt(dir_fd, name, O_RDONLY | O_DIRECTORY));
  return ListDirectoryFd(std::move(fd), name);
}

absl::StatusOr<std::vector<std::string>> ListDirectory(
    const std::string& path) {
  return ListDirectoryAt(AT_FDCWD, path);
}

absl::Status Fsync(int fd, absl::string_view name) {
  if (RetryOnEintr([&] { return ::fsync(fd); }) != 0) {
    return ErrnoToStatus(errno, "fsync", name);
  }
  return absl::OkStatus();
}

}  // namespace ckpt
