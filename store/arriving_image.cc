#include "store/arriving_image.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/status.h"
#include "store/block_sum.h"
#include "store/file_digests.h"
#include "store/layout.h"
#include "store/manifest.h"
#include "store/publish.h"
#include "store/remove_tree.h"

namespace ckpt {
namespace {

absl::Status Differs(absl::string_view image, absl::string_view file,
                     absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat("image ", image, " did not arrive as it was sent: ", file,
                   ": ", what, "; there is no such image here"));
}

// Files with names that an image may have, each once.
absl::Status CheckNames(const v1::Manifest& manifest,
                        const std::string& image) {
  std::set<absl::string_view> names;
  for (const v1::ManifestFile& file : manifest.files()) {
    if (!IsImageFileName(file.name()) || !names.insert(file.name()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("the manifest of image ", image,
                       " lists a file twice, or with a name that no image "
                       "has; nothing was made"));
    }
    if (!file.block_sum().empty() &&
        file.block_sum().size() != BlockSum::kBytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the manifest of image ", image, " gives file ", file.name(),
          " a block sum of ", file.block_sum().size(), " bytes instead of ",
          BlockSum::kBytes, "; nothing was made"));
    }
  }
  return absl::OkStatus();
}

// Images of older ckpts have none.
bool HasBlockSums(const v1::Manifest& manifest) {
  return std::all_of(
      manifest.files().begin(), manifest.files().end(),
      [](const v1::ManifestFile& file) { return !file.block_sum().empty(); });
}

// Brings a file to the size that it has in the manifest.
absl::Status FillUp(int dir_fd, const v1::ManifestFile& file,
                    const std::string& image) {
  CKPT_ASSIGN_OR_RETURN(
      const UniqueFd fd,
      OpenAt(dir_fd, file.name(), O_WRONLY | O_CREAT | O_NOFOLLOW, 0600));
  struct stat about {};
  if (::fstat(fd.get(), &about) != 0) {
    return ErrnoToStatus(errno, "stat", file.name());
  }
  const auto size = static_cast<uint64_t>(about.st_size);
  if (size > file.size_bytes()) {
    return Differs(
        image, file.name(),
        absl::StrCat("size ", size, " instead of ", file.size_bytes()));
  }
  if (size < file.size_bytes() &&
      ::ftruncate(fd.get(), static_cast<off_t>(file.size_bytes())) != 0) {
    return ErrnoToStatus(errno, "extend", file.name());
  }
  return absl::OkStatus();
}

absl::Status WriteManifest(int dir_fd, absl::string_view bytes,
                           const std::string& path) {
  CKPT_ASSIGN_OR_RETURN(
      const UniqueFd fd,
      OpenAt(dir_fd, kManifestFile, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW,
             0600));
  CKPT_RETURN_IF_ERROR(WriteAll(fd.get(), bytes, path));
  CKPT_RETURN_IF_ERROR(Fsync(fd.get(), path));
  return Fsync(dir_fd, path);
}

}  // namespace

bool IsImageFileName(absl::string_view name) {
  return IsPlainName(name) && name != kManifestFile && !IsNoPartOfImage(name);
}

absl::StatusOr<std::unique_ptr<ArrivingImage>> ArrivingImage::Open(
    const ImageStore& store, const std::string& name,
    const ArrivingLimits& limits) {
  if (absl::StrContains(name, '/')) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", name, "' is a path; an image arrives under a name, in the store"));
  }
  CKPT_ASSIGN_OR_RETURN(const std::string final_path, store.PathOf(name));
  const std::string& parent_path = store.directory();
  if (::mkdir(parent_path.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoToStatus(errno, "create", parent_path);
  }
  CKPT_ASSIGN_OR_RETURN(UniqueFd parent, OpenDirectory(parent_path));
  struct stat about {};
  if (::fstatat(parent.get(), name.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0) {
    return absl::AlreadyExistsError(absl::StrCat(
        final_path, " exists already: remove it, or choose another name"));
  }
  // What cannot be removed is no reason not to go on.
  CollectArriving(parent.get(), limits).IgnoreError();
  const std::string hidden = absl::StrCat(kArrivingPrefix, name);
  if (::mkdirat(parent.get(), hidden.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoToStatus(errno, "create", hidden);
  }
  absl::StatusOr<UniqueFd> dir = OpenLocked(parent.get(), hidden, LOCK_EX);
  if (absl::IsUnavailable(dir.status()) || absl::IsNotFound(dir.status())) {
    return absl::UnavailableError(absl::StrCat(
        "image ", name, " is being received from elsewhere; try again later"));
  }
  CKPT_RETURN_IF_ERROR(dir.status());
  return absl::WrapUnique(
      new ArrivingImage(std::move(parent), *std::move(dir), parent_path, name));
}

ArrivingImage::ArrivingImage(UniqueFd parent, UniqueFd dir,
                             std::string parent_path, std::string name)
    : parent_(std::move(parent)),
      dir_(std::move(dir)),
      parent_path_(std::move(parent_path)),
      name_(std::move(name)),
      path_(absl::StrCat(parent_path_, "/", kArrivingPrefix, name_)),
      final_path_(absl::StrCat(parent_path_, "/", name_)) {}

absl::Status ArrivingImage::CheckFiles(const v1::Manifest& manifest,
                                       const ArrivingSums* sums) {
  std::vector<std::string> listed;
  for (const v1::ManifestFile& file : manifest.files()) {
    CKPT_RETURN_IF_ERROR(FillUp(dir_.get(), file, name_));
    listed.push_back(file.name());
  }
  const std::set<absl::string_view> known(listed.begin(), listed.end());
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListDirectoryAt(dir_.get(), "."));
  for (const std::string& name : names) {
    // The mark, too, may be there since a commit that was interrupted.
    if (absl::StartsWith(name, kArrivingOwnPrefix) || name == kManifestFile ||
        name == kArrivedFile) {
      continue;
    }
    if (known.count(name) == 0) {
      return Differs(name_, name, "is not in the manifest");
    }
  }
  CKPT_ASSIGN_OR_RETURN(
      const std::vector<v1::ManifestFile> found,
      DigestFiles(dir_.get(), listed, Durability::kOnDisk, nullptr, nullptr,
                  HasBlockSums(manifest) ? sums : nullptr));
  for (size_t i = 0; i < found.size(); ++i) {
    const v1::ManifestFile& wanted = manifest.files(static_cast<int>(i));
    if (!found[i].sha256().empty() && found[i].sha256() != wanted.sha256()) {
      return Differs(name_, wanted.name(), "its SHA-256 differs");
    }
    if (!wanted.block_sum().empty() &&
        found[i].block_sum() != wanted.block_sum()) {
      return Differs(name_, wanted.name(), "its block sum differs");
    }
  }
  return absl::OkStatus();
}

void ArrivingImage::RemoveOwnFiles() {
  const auto names = ListDirectoryAt(dir_.get(), ".");
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (absl::StartsWith(name, kArrivingOwnPrefix)) {
      (void)::unlinkat(dir_.get(), name.c_str(), 0);
    }
  }
}

absl::StatusOr<v1::Manifest> ArrivingImage::Commit(absl::string_view bytes,
                                                   const ArrivingSums* sums) {
  CKPT_ASSIGN_OR_RETURN(v1::Manifest manifest, DecodeManifest(bytes));
  CKPT_RETURN_IF_ERROR(CheckNames(manifest, name_));
  CKPT_RETURN_IF_ERROR(CheckFiles(manifest, sums));
  CKPT_RETURN_IF_ERROR(FaultPoint("store.before_manifest"));
  CKPT_RETURN_IF_ERROR(
      OpenAt(dir_.get(), kArrivedFile, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600)
          .status());
  CKPT_RETURN_IF_ERROR(WriteManifest(dir_.get(), bytes, path_));
  // An image can be opened while its writer still holds it.
  if (::flock(dir_.get(), LOCK_SH) != 0) {
    return ErrnoToStatus(errno, "lock", path_);
  }
  bool is_there = false;
  CKPT_RETURN_IF_ERROR(
      PublishDirectory({parent_.get(), parent_path_,
                        absl::StrCat(kArrivingPrefix, name_), name_},
                       &is_there));
  // Not before: without them nothing could go on from what has arrived.
  RemoveOwnFiles();
  return manifest;
}

absl::Status ArrivingImage::Remove() {
  return RemoveTree(parent_.get(), absl::StrCat(kArrivingPrefix, name_));
}

absl::StatusOr<std::vector<v1::ArrivingImage>> ListArriving(
    const ImageStore& store) {
  std::vector<v1::ArrivingImage> images;
  const absl::StatusOr<UniqueFd> dir = OpenDirectory(store.directory());
  if (absl::IsNotFound(dir.status())) return images;
  CKPT_RETURN_IF_ERROR(dir.status());
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListDirectoryAt(dir->get(), "."));
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, kArrivingPrefix)) continue;
    auto image = DescribeArriving(dir->get(), name);
    if (image.ok()) images.push_back(*std::move(image));
  }
  return images;
}

absl::StatusOr<bool> RemoveArriving(const ImageStore& store,
                                    const std::string& name) {
  if (!IsPlainName(name)) return false;
  const absl::StatusOr<UniqueFd> parent = OpenDirectory(store.directory());
  if (absl::IsNotFound(parent.status())) return false;
  CKPT_RETURN_IF_ERROR(parent.status());
  const std::string hidden = absl::StrCat(kArrivingPrefix, name);
  const auto dir = OpenLocked(parent->get(), hidden, LOCK_EX);
  if (absl::IsNotFound(dir.status())) return false;
  if (absl::IsUnavailable(dir.status())) {
    return absl::UnavailableError(absl::StrCat(
        "image ", name, " is being received; nothing was removed"));
  }
  CKPT_RETURN_IF_ERROR(dir.status());
  CKPT_RETURN_IF_ERROR(RemoveTree(parent->get(), hidden));
  return true;
}

}  // namespace ckpt
