#include "store/remove_tree.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace ckpt {
namespace {

// mountinfo writes space, tab, newline and backslash as \ooo.
std::string UnescapeOctal(absl::string_view text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) &&
        is_octal(text[i + 2]) && is_octal(text[i + 3])) {
      result += static_cast<char>((text[i + 1] - '0') * 64 +
                                  (text[i + 2] - '0') * 8 + text[i + 3] - '0');
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

// Opens the directory `name` of `parent_fd` unless something is mounted on it.
// The device number would not do: a bind mount has that of its source.
absl::StatusOr<UniqueFd> OpenOnSameMount(int parent_fd,
                                         const std::string& name) {
  open_how how = {};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
  UniqueFd fd(static_cast<int>(
      ::syscall(SYS_openat2, parent_fd, name.c_str(), &how, sizeof(how))));
  if (fd.ok()) return fd;
  if (errno == EXDEV) {
    return absl::FailedPreconditionError(
        absl::StrCat("something is mounted on ", name, ": left as it is"));
  }
  return ErrnoToStatus(errno, "open", name);
}

absl::Status Unlink(int dir_fd, const std::string& name, int flags) {
  if (::unlinkat(dir_fd, name.c_str(), flags) == 0 || errno == ENOENT) {
    return absl::OkStatus();
  }
  return ErrnoToStatus(errno, "remove", name);
}

absl::Status RemoveOpened(UniqueFd fd, int parent_fd, const std::string& name);

// Removes the entry `name`, whatever it is.
absl::Status RemoveEntry(int dir_fd, const std::string& name) {
  if (::unlinkat(dir_fd, name.c_str(), 0) == 0 || errno == ENOENT) {
    return absl::OkStatus();
  }
  if (errno != EISDIR) return ErrnoToStatus(errno, "remove", name);
  CKPT_ASSIGN_OR_RETURN(UniqueFd fd, OpenOnSameMount(dir_fd, name));
  return RemoveOpened(std::move(fd), dir_fd, name);
}

// Removes the directory `name` of `parent_fd`, open as `fd`.
absl::Status RemoveOpened(UniqueFd fd, int parent_fd, const std::string& name) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> entries,
                        ListDirectoryAt(fd.get(), "."));
  absl::Status status;
  for (const std::string& entry : entries) {
    const absl::Status removed = RemoveEntry(fd.get(), entry);
    if (status.ok()) status = removed;
  }
  if (!status.ok()) return status;
  return Unlink(parent_fd, name, AT_REMOVEDIR);
}

// Detaches what is mounted below the directory open as `fd`.
absl::Status DetachMounts(int fd) {
  CKPT_ASSIGN_OR_RETURN(const std::string path,
                        ReadLink(absl::StrCat("/proc/self/fd/", fd)));
  CKPT_ASSIGN_OR_RETURN(const std::string mountinfo,
                        ReadFile("/proc/self/mountinfo"));
  const std::vector<std::string> points = MountPointsBelow(mountinfo, path);
  absl::Status status;
  // What was mounted last lies on top.
  for (auto point = points.rbegin(); point != points.rend(); ++point) {
    if (::umount2(point->c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 &&
        status.ok()) {
      status = ErrnoToStatus(errno, "unmount", *point);
    }
  }
  return status;
}

}  // namespace

std::vector<std::string> MountPointsBelow(absl::string_view mountinfo,
                                          absl::string_view directory) {
  const std::string prefix = absl::StrCat(directory, "/");
  std::vector<std::string> points;
  for (const absl::string_view line : absl::StrSplit(mountinfo, '\n')) {
    // "36 35 98:0 /root /mount/point options ..."
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line, absl::MaxSplits(' ', 5));
    if (fields.size() < 6) continue;
    std::string point = UnescapeOctal(fields[4]);
    if (absl::StartsWith(point, prefix)) points.push_back(std::move(point));
  }
  return points;
}

absl::Status RemoveTree(int parent_fd, const std::string& name) {
  absl::StatusOr<UniqueFd> fd = OpenOnSameMount(parent_fd, name);
  if (absl::IsNotFound(fd.status())) return absl::OkStatus();
  if (!fd.ok()) return fd.status();
  const absl::Status detached = DetachMounts(fd->get());
  absl::Status removed = RemoveOpened(*std::move(fd), parent_fd, name);
  if (removed.ok() || detached.ok()) return removed;
  return AppendError(detached, "removing it", removed);  // the first is why
}

}  // namespace ckpt
