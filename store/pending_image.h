// An image being written: a hidden directory that becomes the image in one
// step, or vanishes.
//
//   CKPT_ASSIGN_OR_RETURN(std::unique_ptr<PendingImage> pending,
//                         store.Begin("job7"));
//   ... CRIU writes into pending->dir_fd() ...
//   CKPT_ASSIGN_OR_RETURN(const v1::Manifest manifest, pending->Seal(about));
//   CKPT_RETURN_IF_ERROR(std::move(*pending).Publish());
//
// The directory is .ckpt-pending-NAME-XXXXXX (0700) beside the final one, so
// that publishing is a rename.  Dropping a PendingImage that was not published
// removes it with all it contains.  After a crash the next ImageStore::Begin()
// in that directory does so.
//
// Caveats:
// - Only files of the image belong into the directory, and all of them must be
//   written when Seal() is called: CRIU's log goes somewhere else.  CRIU's
//   stats-dump, written when all is over, is the one exception.
// - dir_fd() carries the lock that says "the writer lives", also after
//   Publish(): until this object is gone the image cannot be removed, though it
//   can be opened. A child that inherits it without exec keeps the lock: close
//   it there.
//
// Fault points: store.before_manifest, store.before_rename, store.after_rename.
#ifndef CKPT_STORE_PENDING_IMAGE_H_
#define CKPT_STORE_PENDING_IMAGE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "proto/image.pb.h"
#include "store/growing_digests.h"

namespace ckpt {

// Thread-compatible.
class PendingImage {
 public:
  // Makes the pending directory of an image that is to be `final_name` in the
  // directory `parent` (`parent_path` is its name).  For ImageStore::Begin(),
  // which has checked the name.
  // PermissionDenied, ResourceExhausted: the directory cannot be made.
  static absl::StatusOr<std::unique_ptr<PendingImage>> Create(
      UniqueFd parent, const std::string& parent_path,
      const std::string& final_name);

  ~PendingImage();  // Abort(), unless it was published
  PendingImage(const PendingImage&) = delete;
  PendingImage& operator=(const PendingImage&) = delete;

  // The directory to write into, open for the life of this object.
  int dir_fd() const { return dir_.get(); }
  // Where the directory is now, and where the image will be.
  const std::string& path() const { return path_; }
  const std::string& final_path() const { return final_path_; }

  // CRIU is about to write its files of pages: has them read as they grow, so
  // that Seal() has less to do.  Whoever writes to one otherwise calls
  // Changed(), before or after.
  void ReadAhead();
  void Changed(const std::string& name, uint64_t offset);

  // Makes what is in the directory a whole image: lists the files with size and
  // SHA-256, adds them to `manifest`, writes the manifest, and brings all of it
  // to the disk.  Fills format_version, files and manifest_sha256, and image_id
  // and created_unix_ns if they are empty; returns what was written.
  // FailedPrecondition: called twice, or the directory holds something that is
  // no file.  ResourceExhausted: disk full.  Internal: the disk failed.
  // After an error, Abort() or drop it.
  absl::StatusOr<v1::Manifest> Seal(v1::Manifest manifest);

  // Gives the sealed directory its final name, durably.  On success the image
  // is there whatever happens next; on error it is not (if it was for a moment,
  // it has been taken back), and this object still stands for the pending
  // directory.
  // AlreadyExists: that name has been taken.  FailedPrecondition: not sealed.
  absl::Status Publish() &&;

  // Removes the directory, unmounting what is mounted in it first.  Does
  // nothing when called again or after Publish().  The error of the first thing
  // that could not be removed; the next Begin() tries again.
  absl::Status Abort();

 private:
  enum class State { kOpen, kSealed, kPublished, kAborted };

  PendingImage(UniqueFd parent, UniqueFd dir, const std::string& parent_path,
               const std::string& pending_name, const std::string& final_name);

  UniqueFd parent_;
  UniqueFd dir_;  // holds the lock
  std::string parent_path_;
  std::string pending_name_;
  std::string final_name_;
  std::string path_;
  std::string final_path_;
  std::unique_ptr<GrowingDigests> growing_;  // null: not read ahead
  State state_ = State::kOpen;
};

}  // namespace ckpt

#endif  // CKPT_STORE_PENDING_IMAGE_H_
