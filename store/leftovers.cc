#include "store/leftovers.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "store/layout.h"
#include "store/remove_tree.h"

namespace ckpt {
namespace {

// File systems whose locks end at the node.  Those without a name in
// linux/magic.h: their own sources.
bool IsLocal(int fd) {
  struct statfs about {};
  if (::fstatfs(fd, &about) != 0) return false;
  switch (static_cast<uint32_t>(about.f_type)) {
    case AFS_SUPER_MAGIC:
    case AFS_FS_MAGIC:
    case CEPH_SUPER_MAGIC:
    case CIFS_SUPER_MAGIC:
    case CODA_SUPER_MAGIC:
    case FUSE_SUPER_MAGIC:
    case NFS_SUPER_MAGIC:
    case OCFS2_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case SMB2_SUPER_MAGIC:
    case V9FS_MAGIC:
    case 0x01161970:  // GFS2
    case 0x0BD00BD0:  // Lustre
    case 0x19830326:  // BeeGFS
    case 0x47504653:  // IBM Storage Scale (GPFS)
      return false;
    default:
      return true;
  }
}

absl::Status Collect(int parent_fd, const std::string& name) {
  const absl::StatusOr<UniqueFd> dir = OpenLocked(parent_fd, name, LOCK_EX);
  if (absl::IsNotFound(dir.status()) || absl::IsUnavailable(dir.status())) {
    return absl::OkStatus();  // alive, or somebody else collects it
  }
  if (!dir.ok()) return dir.status();
  struct stat about {};
  if (::fstat(dir->get(), &about) != 0) {
    return ErrnoToStatus(errno, "stat", name);
  }
  if (about.st_uid != ::geteuid()) return absl::OkStatus();
  return RemoveTree(parent_fd, name);
}

}  // namespace

absl::Status CollectLeftovers(int parent_fd) {
  if (!IsLocal(parent_fd)) return absl::OkStatus();
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListDirectoryAt(parent_fd, "."));
  absl::Status status;
  for (const std::string& name : names) {
    if (!IsLeftoverName(name)) continue;
    const absl::Status collected = Collect(parent_fd, name);
    if (status.ok()) status = collected;
  }
  return status;
}

absl::StatusOr<v1::ArrivingImage> DescribeArriving(int parent_fd,
                                                   const std::string& hidden) {
  v1::ArrivingImage image;
  image.set_name(std::string(absl::StripPrefix(hidden, kArrivingPrefix)));
  CKPT_ASSIGN_OR_RETURN(
      const UniqueFd dir,
      OpenAt(parent_fd, hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListDirectoryAt(dir.get(), "."));
  struct stat about {};
  timespec changed = {};
  if (::fstat(dir.get(), &about) == 0) changed = about.st_mtim;
  for (const std::string& name : names) {
    if (::fstatat(dir.get(), name.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0) {
      continue;
    }
    image.set_bytes(image.bytes() +
                    static_cast<uint64_t>(about.st_blocks) * 512);
    if (absl::TimeFromTimespec(about.st_mtim) >
        absl::TimeFromTimespec(changed)) {
      changed = about.st_mtim;
    }
  }
  image.set_changed_unix_ns(absl::ToUnixNanos(absl::TimeFromTimespec(changed)));
  // A writer has it exclusively.
  image.set_active(
      absl::IsUnavailable(OpenLocked(parent_fd, hidden, LOCK_SH).status()));
  return image;
}

absl::StatusOr<int> CollectArriving(int parent_fd,
                                    const ArrivingLimits& limits) {
  if (!IsLocal(parent_fd)) return 0;
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListDirectoryAt(parent_fd, "."));
  std::vector<v1::ArrivingImage> idle;
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, kArrivingPrefix)) continue;
    auto image = DescribeArriving(parent_fd, name);
    if (image.ok() && !image->active()) idle.push_back(*std::move(image));
  }
  std::sort(idle.begin(), idle.end(),
            [](const v1::ArrivingImage& one, const v1::ArrivingImage& other) {
              return one.changed_unix_ns() > other.changed_unix_ns();
            });
  const absl::Time oldest = absl::Now() - limits.age;
  absl::Status status;
  size_t kept = 0;
  uint64_t kept_bytes = 0;
  int removed = 0;
  for (const v1::ArrivingImage& image : idle) {
    if (absl::FromUnixNanos(image.changed_unix_ns()) >= oldest &&
        kept < limits.images && kept_bytes + image.bytes() <= limits.bytes) {
      ++kept;
      kept_bytes += image.bytes();
      continue;
    }
    const absl::Status collected =
        Collect(parent_fd, absl::StrCat(kArrivingPrefix, image.name()));
    if (collected.ok()) ++removed;
    if (status.ok()) status = collected;
  }
  if (!status.ok()) return status;
  return removed;
}

absl::StatusOr<UniqueFd> OpenLocked(int parent_fd, const std::string& name,
                                    int lock, Links links) {
  const bool follow = links == Links::kFollow;
  CKPT_ASSIGN_OR_RETURN(
      UniqueFd dir, OpenAt(parent_fd, name,
                           O_RDONLY | O_DIRECTORY | (follow ? 0 : O_NOFOLLOW)));
  if (::flock(dir.get(), lock | LOCK_NB) != 0) {
    return ErrnoToStatus(errno, "lock", name);
  }
  // Between the two calls it may have been renamed or removed.
  struct stat held {};
  struct stat named {};
  if (::fstat(dir.get(), &held) != 0) return ErrnoToStatus(errno, "stat", name);
  if (::fstatat(parent_fd, name.c_str(), &named,
                follow ? 0 : AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoToStatus(errno, "stat", name);
  }
  if (held.st_dev != named.st_dev || held.st_ino != named.st_ino) {
    return ErrnoToStatus(ENOENT, "lock", name);
  }
  return dir;
}

std::string RandomBytes(size_t count) {
  std::string bytes(count, '\0');
  size_t have = 0;
  while (have < count) {
    const ssize_t got = ::getrandom(bytes.data() + have, count - have, 0);
    if (got < 0 && errno != EINTR)
      std::abort();  // the kernel has it since 3.17
    if (got > 0) have += static_cast<size_t>(got);
  }
  return bytes;
}

std::string HiddenName(absl::string_view prefix, absl::string_view name) {
  return absl::StrCat(prefix, name, "-",
                      absl::BytesToHexString(RandomBytes(3)));
}

}  // namespace ckpt
