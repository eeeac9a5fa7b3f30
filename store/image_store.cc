#include "store/image_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "store/layout.h"
#include "store/leftovers.h"
#include "store/manifest.h"
#include "store/pin.h"
#include "store/remove_tree.h"

namespace ckpt {
namespace {

// NAME_MAX is 255, and a hidden name adds up to 21.
constexpr size_t kMaxPathNameLength = 200;

// A path, cut at the last slash.
struct Place {
  std::string parent;
  std::string name;
};

Place Split(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

std::string Mebibytes(uint64_t bytes) {
  return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / (1 << 20));
}

absl::StatusOr<UniqueFd> OpenParent(const std::string& path) {
  absl::StatusOr<UniqueFd> parent = OpenDirectory(path);
  if (absl::IsNotFound(parent.status()) ||
      absl::IsInvalidArgument(parent.status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "no directory ", path, ": it must exist before an image can be in it"));
  }
  return parent;
}

// An image, whole or damaged, whose lock we have.
struct HeldImage {
  UniqueFd parent;
  UniqueFd dir;
};

// `lock` is LOCK_SH or LOCK_EX.
absl::StatusOr<HeldImage> Hold(const std::string& path, int lock) {
  const Place place = Split(path);
  const auto no_image = [&] {
    return absl::NotFoundError(absl::StrCat(
        "no image ", path, "; 'ckpt list' shows the images there are"));
  };
  absl::StatusOr<UniqueFd> parent = OpenDirectory(place.parent);
  if (absl::IsNotFound(parent.status())) return no_image();
  if (!parent.ok()) return parent.status();

  absl::StatusOr<UniqueFd> dir = OpenLocked(parent->get(), place.name, lock);
  if (absl::IsNotFound(dir.status())) return no_image();
  if (absl::IsInvalidArgument(dir.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is not a ckpt image: no directory"));
  }
  if (absl::IsUnavailable(dir.status())) {
    return absl::UnavailableError(absl::StrCat(
        "image ", path,
        lock == LOCK_EX ? " is in use (being written or restored); try again"
                        : " is being removed"));
  }
  if (!dir.ok()) return dir.status();
  struct stat about {};
  if (::fstatat(dir->get(), kManifestFile, &about, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno != ENOENT) return ErrnoToStatus(errno, "stat", path);
    return absl::FailedPreconditionError(absl::StrCat(
        path, " is not a ckpt image: no ", kManifestFile, "; left as it is"));
  }
  return HeldImage{*std::move(parent), *std::move(dir)};
}

}  // namespace

ImageStore::ImageStore(std::string directory)
    : directory_(std::move(directory)) {}

absl::StatusOr<std::string> ImageStore::PathOf(
    absl::string_view name_or_path) const {
  if (!absl::StrContains(name_or_path, '/')) {
    if (IsPlainName(name_or_path))
      return absl::StrCat(directory_, "/", name_or_path);
    return absl::InvalidArgumentError(absl::StrCat(
        "'", name_or_path,
        "' is no name for an image: letters, digits and . _ - are allowed, no "
        "dot first, at most 200 characters; a path has a slash in it"));
  }
  std::string path(name_or_path);
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::string name = Split(path).name;
  if (name.empty() || name == "." || name == ".." || IsLeftoverName(name) ||
      name.size() > kMaxPathNameLength ||
      absl::StrContains(name, absl::string_view("\0", 1))) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", name_or_path, "' is no path for an image"));
  }
  return path;
}

absl::StatusOr<std::unique_ptr<PendingImage>> ImageStore::Begin(
    absl::string_view name_or_path) const {
  CKPT_ASSIGN_OR_RETURN(const std::string path, PathOf(name_or_path));
  const bool in_store = !absl::StrContains(name_or_path, '/');
  if (in_store && ::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST &&
      errno != ENOENT) {
    return ErrnoToStatus(errno, "create", directory_);
  }
  const Place place = Split(path);
  CKPT_ASSIGN_OR_RETURN(UniqueFd parent, OpenParent(place.parent));
  struct stat about {};
  if (::fstatat(parent.get(), place.name.c_str(), &about,
                AT_SYMLINK_NOFOLLOW) == 0) {
    return absl::AlreadyExistsError(absl::StrCat(
        path, " exists already: remove it, or choose another name"));
  }
  if (errno != ENOENT) return ErrnoToStatus(errno, "stat", path);
  // What cannot be collected is no reason not to make a new image.
  ckpt::CollectLeftovers(parent.get()).IgnoreError();
  CollectArriving(parent.get(), ArrivingLimits()).IgnoreError();
  return PendingImage::Create(std::move(parent), place.parent, place.name);
}

absl::StatusOr<Image> ImageStore::Open(absl::string_view name_or_path) const {
  CKPT_ASSIGN_OR_RETURN(const std::string path, PathOf(name_or_path));
  return Image::Open(path, std::string(name_or_path));
}

absl::Status ImageStore::CollectLeftovers() const {
  const absl::StatusOr<UniqueFd> dir = OpenDirectory(directory_);
  if (absl::IsNotFound(dir.status())) return absl::OkStatus();
  CKPT_RETURN_IF_ERROR(dir.status());
  absl::Status status = ckpt::CollectLeftovers(dir->get());
  const auto arriving = CollectArriving(dir->get(), ArrivingLimits());
  return status.ok() ? arriving.status() : status;
}

absl::StatusOr<std::vector<ImageSummary>> ImageStore::List() const {
  const absl::StatusOr<UniqueFd> dir = OpenDirectory(directory_);
  if (absl::IsNotFound(dir.status())) return std::vector<ImageSummary>();
  if (!dir.ok()) return dir.status();
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListDirectoryAt(dir->get(), "."));
  std::vector<ImageSummary> images;
  for (const std::string& name : names) {
    // Only what could be an image: not lost+found, not hidden directories.
    struct stat about {};
    if (!IsPlainName(name) ||
        ::fstatat(dir->get(), name.c_str(), &about, 0) != 0 ||
        !S_ISDIR(about.st_mode)) {
      continue;
    }
    const absl::StatusOr<UniqueFd> image =
        OpenAt(dir->get(), name, O_RDONLY | O_DIRECTORY);
    if (absl::IsNotFound(image.status())) continue;  // removed meanwhile
    ImageSummary summary;
    summary.name = name;
    summary.path = absl::StrCat(directory_, "/", name);
    // Without a lock: a list keeps nobody from removing an image.
    absl::StatusOr<v1::Manifest> manifest =
        image.ok() ? ReadManifest(image->get(), summary.path) : image.status();
    if (manifest.ok()) {
      summary.manifest = *std::move(manifest);
    } else {
      summary.status = manifest.status();
    }
    summary.pinned = image.ok() && IsPinned(image->get());
    images.push_back(std::move(summary));
  }
  std::sort(images.begin(), images.end(),
            [](const ImageSummary& a, const ImageSummary& b) {
              return std::make_tuple(!a.status.ok(),
                                     a.manifest.created_unix_ns(), a.name) <
                     std::make_tuple(!b.status.ok(),
                                     b.manifest.created_unix_ns(), b.name);
            });
  return images;
}

absl::Status ImageStore::Remove(absl::string_view name_or_path) const {
  CKPT_ASSIGN_OR_RETURN(const std::string path, PathOf(name_or_path));
  CKPT_ASSIGN_OR_RETURN(const HeldImage image, Hold(path, LOCK_EX));
  if (IsPinned(image.dir.get())) {
    return absl::FailedPreconditionError(
        absl::StrCat("image ", path, " is pinned; nothing was removed; 'ckpt ",
                     "unpin ", name_or_path, "' first"));
  }
  const Place place = Split(path);
  const std::string hidden = HiddenName(kRemovedPrefix, place.name);
  if (::renameat(image.parent.get(), place.name.c_str(), image.parent.get(),
                 hidden.c_str()) != 0) {
    return ErrnoToStatus(errno, "rename", path);
  }
  absl::Status status = Fsync(image.parent.get(), place.parent);
  status = AppendError(status, "freeing its space",
                       RemoveTree(image.parent.get(), hidden));
  if (status.ok()) return status;
  return WithMessage(
      status,
      absl::StrCat("image ", path, " is removed, but: ", status.message()));
}

absl::StatusOr<bool> ImageStore::Pin(absl::string_view name_or_path) const {
  CKPT_ASSIGN_OR_RETURN(const std::string path, PathOf(name_or_path));
  CKPT_ASSIGN_OR_RETURN(const HeldImage image, Hold(path, LOCK_SH));
  const bool was_pinned = IsPinned(image.dir.get());
  CKPT_RETURN_IF_ERROR(SetPin(image.dir.get(), path));
  return !was_pinned;
}

absl::StatusOr<bool> ImageStore::Unpin(absl::string_view name_or_path) const {
  CKPT_ASSIGN_OR_RETURN(const std::string path, PathOf(name_or_path));
  CKPT_ASSIGN_OR_RETURN(const HeldImage image, Hold(path, LOCK_SH));
  const bool was_pinned = IsPinned(image.dir.get());
  CKPT_RETURN_IF_ERROR(ClearPin(image.dir.get(), path));
  return was_pinned;
}

absl::Status CheckSpace(int dir_fd, uint64_t bytes_needed) {
  const std::string link = absl::StrCat("/proc/self/fd/", dir_fd);
  struct statvfs about {};
  if (::fstatvfs(dir_fd, &about) != 0) {
    return ErrnoToStatus(errno, "free space of", link);
  }
  const uint64_t free_bytes = uint64_t{about.f_bavail} * about.f_frsize;
  if (free_bytes >= bytes_needed) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      ReadLink(link).value_or("the image's directory"), ": not enough space: ",
      Mebibytes(bytes_needed), " needed, ", Mebibytes(free_bytes), " free"));
}

}  // namespace ckpt
