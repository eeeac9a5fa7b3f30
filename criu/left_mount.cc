#include "criu/left_mount.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/unique_fd.h"

namespace ckpt::criu {
namespace {

constexpr char kName[] = "/proc.crtools";

bool IsProc(int fd) {
  struct statfs found;
  return ::fstatfs(fd, &found) == 0 && found.f_type == PROC_SUPER_MAGIC;
}

bool ShowsProcesses(const std::string& path) {
  const auto names = ListDirectory(path);
  return !names.ok() ||
         std::any_of(names->begin(), names->end(), [](const std::string& name) {
           return absl::ascii_isdigit(static_cast<unsigned char>(name[0]));
         });
}

bool IsYoung(int fd, absl::Time now) {
  struct stat found;
  if (::fstat(fd, &found) != 0) return true;
  const absl::Duration age = now - absl::TimeFromTimespec(found.st_mtim);
  return age >= absl::ZeroDuration() && age < kMountLimit;
}

}  // namespace

bool RemoveLeftMount(const std::string& directory, absl::Time now) {
  const std::string path = absl::StrCat(directory, kName);
  UniqueFd fd(
      ::open(path.c_str(), O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.ok()) return false;
  if (IsProc(fd.get())) {
    if (ShowsProcesses(path)) return false;
    fd.Reset();
    if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
      return false;
    }
  } else if (IsYoung(fd.get(), now)) {
    return false;
  }
  return ::rmdir(path.c_str()) == 0;
}

void RemoveLeftMounts(pid_t root) {
  const auto tree = ProcessTree(ProcFs::Real(), root);
  if (!tree.ok()) return;  // CRIU meets the same trouble, and tells
  for (const pid_t pid : *tree) {
    RemoveLeftMount(absl::StrCat("/proc/", pid, "/cwd"), absl::Now());
  }
}

}  // namespace ckpt::criu
