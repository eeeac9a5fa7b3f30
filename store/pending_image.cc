#include "store/pending_image.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/status.h"
#include "store/file_digests.h"
#include "store/layout.h"
#include "store/leftovers.h"
#include "store/manifest.h"
#include "store/publish.h"
#include "store/remove_tree.h"

namespace ckpt {
namespace {

// A collector may hold the lock of a directory that was just made, or have
// removed it, once; more often than that something else is wrong.
constexpr int kCreateAttempts = 16;

std::string Join(absl::string_view directory, absl::string_view name) {
  return absl::StrCat(directory, directory == "/" ? "" : "/", name);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PendingImage>> PendingImage::Create(
    UniqueFd parent, const std::string& parent_path,
    const std::string& final_name) {
  absl::Status status;
  for (int attempt = 0; attempt < kCreateAttempts; ++attempt) {
    const std::string name = HiddenName(kPendingPrefix, final_name);
    if (::mkdirat(parent.get(), name.c_str(), 0700) != 0) {
      status = ErrnoToStatus(errno, "create", Join(parent_path, name));
      if (absl::IsAlreadyExists(status)) continue;
      return status;
    }
    absl::StatusOr<UniqueFd> dir = OpenLocked(parent.get(), name, LOCK_SH);
    if (dir.ok()) {
      return std::unique_ptr<PendingImage>(new PendingImage(
          std::move(parent), *std::move(dir), parent_path, name, final_name));
    }
    status = dir.status();
    if (!absl::IsNotFound(status) && !absl::IsUnavailable(status)) break;
  }
  return status;
}

PendingImage::PendingImage(UniqueFd parent, UniqueFd dir,
                           const std::string& parent_path,
                           const std::string& pending_name,
                           const std::string& final_name)
    : parent_(std::move(parent)),
      dir_(std::move(dir)),
      parent_path_(parent_path),
      pending_name_(pending_name),
      final_name_(final_name),
      path_(Join(parent_path, pending_name)),
      final_path_(Join(parent_path, final_name)) {}

PendingImage::~PendingImage() {
  // Nobody is left to hear of an error; the next Begin() tries again.
  Abort().IgnoreError();
}

void PendingImage::ReadAhead() { growing_ = GrowingDigests::Start(dir_.get()); }

void PendingImage::Changed(const std::string& name, uint64_t offset) {
  if (growing_ != nullptr) growing_->Changed(name, offset);
}

absl::StatusOr<v1::Manifest> PendingImage::Seal(v1::Manifest manifest) {
  if (state_ != State::kOpen) {
    return absl::FailedPreconditionError(
        absl::StrCat("image ", final_path_, " is sealed already"));
  }
  CKPT_ASSIGN_OR_RETURN(std::vector<std::string> names,
                        ListDirectoryAt(dir_.get(), "."));
  std::erase_if(names, IsNoPartOfImage);
  absl::StatusOr<std::vector<v1::ManifestFile>> files =
      DigestFiles(dir_.get(), names, Durability::kOnDisk, growing_.get());
  growing_.reset();
  if (!files.ok()) {
    return WithMessage(files.status(), absl::StrCat("image ", final_path_, ": ",
                                                    files.status().message()));
  }
  CKPT_RETURN_IF_ERROR(FaultPoint("store.before_manifest"));

  manifest.mutable_files()->Assign(files->begin(), files->end());
  if (manifest.image_id().empty()) {
    manifest.set_image_id(absl::BytesToHexString(RandomBytes(16)));
  }
  if (manifest.created_unix_ns() == 0) {
    manifest.set_created_unix_ns(absl::GetCurrentTimeNanos());
  }
  const std::string bytes = EncodeManifest(manifest);
  const std::string path = absl::StrCat(path_, "/", kManifestFile);
  CKPT_ASSIGN_OR_RETURN(
      const UniqueFd fd,
      OpenAt(dir_.get(), kManifestFile, O_WRONLY | O_CREAT | O_EXCL, 0600));
  CKPT_RETURN_IF_ERROR(WriteAll(fd.get(), bytes, path));
  CKPT_RETURN_IF_ERROR(Fsync(fd.get(), path));
  CKPT_RETURN_IF_ERROR(Fsync(dir_.get(), path_));
  state_ = State::kSealed;
  return manifest;
}

absl::Status PendingImage::Publish() && {
  if (state_ != State::kSealed) {
    return absl::FailedPreconditionError(
        absl::StrCat("image ", final_path_, " is not sealed"));
  }
  bool is_there = false;
  absl::Status status = PublishDirectory(
      {parent_.get(), parent_path_, pending_name_, final_name_}, &is_there);
  if (is_there) state_ = State::kPublished;  // not ours to remove any more
  return status;
}

absl::Status PendingImage::Abort() {
  if (state_ == State::kPublished || state_ == State::kAborted) {
    return absl::OkStatus();
  }
  state_ = State::kAborted;
  growing_.reset();
  return RemoveTree(parent_.get(), pending_name_);
}

}  // namespace ckpt
