#include "store/publish.h"

#include <fcntl.h>
#include <stdio.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/status.h"

namespace ckpt {
namespace {

// rename() of a directory that fails when `to` exists.
absl::Status RenameToNewName(int parent_fd, const std::string& from,
                             const std::string& to) {
  int result = ::renameat2(parent_fd, from.c_str(), parent_fd, to.c_str(),
                           RENAME_NOREPLACE);
  if (result != 0 && (errno == EINVAL || errno == ENOSYS)) {
    // The file system (NFS, for one) cannot.  A plain rename() replaces an
    // empty directory at most, and no image is one.
    result = ::renameat(parent_fd, from.c_str(), parent_fd, to.c_str());
    if (result != 0 && (errno == ENOTEMPTY || errno == ENOTDIR)) {
      errno = EEXIST;
    }
  }
  return result == 0 ? absl::OkStatus() : ErrnoToStatus(errno, "rename", from);
}

}  // namespace

absl::Status PublishDirectory(const PublishPlace& place, bool* is_there) {
  const std::string final_path = absl::StrCat(
      place.parent_path, place.parent_path == "/" ? "" : "/", place.final_name);
  CKPT_RETURN_IF_ERROR(FaultPoint("store.before_rename"));
  const absl::Status renamed =
      RenameToNewName(place.parent_fd, place.hidden_name, place.final_name);
  if (absl::IsAlreadyExists(renamed)) {
    return absl::AlreadyExistsError(
        absl::StrCat(final_path, " exists: somebody else made it meanwhile"));
  }
  CKPT_RETURN_IF_ERROR(renamed);

  absl::Status status = FaultPoint("store.after_rename");
  if (status.ok()) status = Fsync(place.parent_fd, place.parent_path);
  if (status.ok()) {
    *is_there = true;
    return status;
  }
  // The image is there, but perhaps not after a power failure.  The caller may
  // let the job go on after an error, so there must be no image.
  const absl::Status undone =
      RenameToNewName(place.parent_fd, place.final_name, place.hidden_name);
  if (undone.ok()) return status;
  *is_there = true;
  return AppendError(
      status,
      absl::StrCat("taking back ", final_path, ", which is there and whole"),
      undone);
}

}  // namespace ckpt
