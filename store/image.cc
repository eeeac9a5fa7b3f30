#include "store/image.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "store/file_digests.h"
#include "store/layout.h"
#include "store/leftovers.h"
#include "store/manifest.h"
#include "store/pin.h"

namespace ckpt {
namespace {

absl::Status Damaged(const std::string& image, absl::string_view file,
                     absl::string_view what) {
  return absl::DataLossError(absl::StrCat("image ", image,
                                          " is damaged: ", file, ": ", what,
                                          "; nothing was started"));
}

// Whether the files of `dir_fd` are there with the sizes that they should have.
absl::Status CheckSizes(int dir_fd, const std::string& image,
                        const v1::Manifest& manifest) {
  for (const v1::ManifestFile& file : manifest.files()) {
    struct stat about {};
    if (::fstatat(dir_fd, file.name().c_str(), &about, AT_SYMLINK_NOFOLLOW) !=
        0) {
      if (errno == ENOENT) return Damaged(image, file.name(), "missing");
      return ErrnoToStatus(errno, "stat", file.name());
    }
    if (!S_ISREG(about.st_mode)) {
      return Damaged(image, file.name(), "no regular file");
    }
    if (static_cast<uint64_t>(about.st_size) != file.size_bytes()) {
      return Damaged(image, file.name(),
                     absl::StrCat("size ", about.st_size, " instead of ",
                                  file.size_bytes()));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNoOthers(int dir_fd, const std::string& image,
                           const v1::Manifest& manifest) {
  std::vector<std::string> listed;
  for (const v1::ManifestFile& file : manifest.files()) {
    listed.push_back(file.name());
  }
  std::sort(listed.begin(), listed.end());
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListDirectoryAt(dir_fd, "."));
  for (const std::string& name : names) {
    if (name == kManifestFile || IsNoPartOfImage(name)) continue;
    if (!std::binary_search(listed.begin(), listed.end(), name)) {
      return Damaged(image, name, "does not belong to it");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Image> Image::Open(const std::string& path,
                                  const std::string& name) {
  absl::StatusOr<UniqueFd> dir =
      OpenLocked(AT_FDCWD, path, LOCK_SH, Links::kFollow);
  switch (dir.status().code()) {
    case absl::StatusCode::kOk:
      break;
    case absl::StatusCode::kNotFound:
      return absl::NotFoundError(absl::StrCat(
          "no image ", path, "; 'ckpt list' shows the images there are"));
    case absl::StatusCode::kInvalidArgument:
      return absl::FailedPreconditionError(
          absl::StrCat(path, " is not a ckpt image: no directory"));
    case absl::StatusCode::kUnavailable:
      return absl::UnavailableError(
          absl::StrCat("image ", path, " is being removed"));
    default:
      return dir.status();
  }
  CKPT_ASSIGN_OR_RETURN(v1::Manifest manifest, ReadManifest(dir->get(), path));
  return Image(*std::move(dir), path, name, std::move(manifest));
}

Image::Image(UniqueFd dir, std::string path, std::string name,
             v1::Manifest manifest)
    : dir_(std::move(dir)),
      path_(std::move(path)),
      name_(std::move(name)),
      manifest_(std::move(manifest)) {}

bool Image::pinned() const { return IsPinned(dir_.get()); }

bool Image::arrived() const {
  struct stat about = {};
  return ::fstatat(dir_.get(), kArrivedFile, &about, AT_SYMLINK_NOFOLLOW) ==
             0 ||
         errno != ENOENT;
}

absl::Status Image::Verify(const Cancellation* cancel) const {
  // The manifest again: it may have been exchanged since Open().
  const absl::StatusOr<v1::Manifest> now = ReadManifest(dir_.get(), path_);
  if (absl::IsFailedPrecondition(now.status())) {
    return Damaged(path_, kManifestFile, "missing");
  }
  if (!now.ok() || now->manifest_sha256() != manifest_.manifest_sha256()) {
    return Damaged(path_, kManifestFile, "content differs");
  }
  // What costs little comes first.
  CKPT_RETURN_IF_ERROR(CheckSizes(dir_.get(), path_, manifest_));
  CKPT_RETURN_IF_ERROR(CheckNoOthers(dir_.get(), path_, manifest_));

  std::vector<std::string> names;
  for (const v1::ManifestFile& file : manifest_.files()) {
    names.push_back(file.name());
  }
  const absl::StatusOr<std::vector<v1::ManifestFile>> files =
      DigestFiles(dir_.get(), names, Durability::kAsIs, nullptr, cancel);
  if (!files.ok()) {
    return WithMessage(files.status(), absl::StrCat("image ", path_, ": ",
                                                    files.status().message(),
                                                    "; nothing was started"));
  }
  for (size_t i = 0; i < files->size(); ++i) {
    const v1::ManifestFile& wanted = manifest_.files(static_cast<int>(i));
    if ((*files)[i].sha256() != wanted.sha256() ||
        (!wanted.block_sum().empty() &&
         (*files)[i].block_sum() != wanted.block_sum())) {
      return Damaged(path_, names[i], "content differs");
    }
  }
  return absl::OkStatus();
}

}  // namespace ckpt
