// An image that arrives from another node: a hidden directory of the store that
// outlives who writes it, so that a transfer can go on from what has arrived.
//
//   CKPT_ASSIGN_OR_RETURN(std::unique_ptr<ArrivingImage> arriving,
//                         ArrivingImage::Open(store, "job7"));
//   ... files are written into arriving->dir_fd() ...
//   CKPT_ASSIGN_OR_RETURN(v1::Manifest manifest, arriving->Commit(bytes));
//
// The directory is .ckpt-arriving-NAME (0700), locked by whoever writes it.
// Dropping the object leaves it.  What nobody has written to for a day is
// removed by ImageStore::CollectLeftovers(), as are the oldest beyond 16, or
// beyond 256 GiB.
//
// The writer may keep files of its own in there under names that begin with
// kArrivingOwnPrefix (store/layout.h); Commit() removes them once there is an
// image.
//
// Fault points: store.before_manifest, store.before_rename, store.after_rename.
#ifndef CKPT_STORE_ARRIVING_IMAGE_H_
#define CKPT_STORE_ARRIVING_IMAGE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "proto/image.pb.h"
#include "proto/transfer.pb.h"
#include "store/arriving_sums.h"
#include "store/image_store.h"
#include "store/leftovers.h"

namespace ckpt {

// Thread-compatible.
class ArrivingImage {
 public:
  // Opens what has arrived of the image `name`, or begins it; removes what is
  // beyond `limits` first.
  // InvalidArgument: no name (a path is none).  AlreadyExists: there is such an
  // image.  Unavailable: somebody writes it now.  PermissionDenied,
  // ResourceExhausted: the directory cannot be made.
  static absl::StatusOr<std::unique_ptr<ArrivingImage>> Open(
      const ImageStore& store, const std::string& name,
      const ArrivingLimits& limits = ArrivingLimits());

  int dir_fd() const { return dir_.get(); }
  const std::string& path() const { return path_; }
  const std::string& final_path() const { return final_path_; }

  // Makes it an image, durably: the files must be those that the manifest lists
  // (`bytes` is its file), bit by bit; those that are too short are filled up
  // with zeros first.  Files that `sums` knows are taken to be what it tells,
  // where the manifest has block sums; the others are read.  On error there is
  // no image, and the directory is as it was; call it again, or Remove() it.
  // DataLoss: a file, named, or the manifest is not as it should be.
  // FailedPrecondition: a newer format.  InvalidArgument: the manifest lists
  // what no image has.  AlreadyExists: the name was taken meanwhile.
  // ResourceExhausted, Internal: the disk.
  absl::StatusOr<v1::Manifest> Commit(absl::string_view bytes,
                                      const ArrivingSums* sums = nullptr);

  // Removes all that has arrived.  Nothing can be done with it after that.
  absl::Status Remove();

 private:
  ArrivingImage(UniqueFd parent, UniqueFd dir, std::string parent_path,
                std::string name);

  absl::Status CheckFiles(const v1::Manifest& manifest,
                          const ArrivingSums* sums);
  void RemoveOwnFiles();

  UniqueFd parent_;
  UniqueFd dir_;  // holds the lock
  std::string parent_path_;
  std::string name_;
  std::string path_;
  std::string final_path_;
};

// Whether a file of an image that arrives may have that name: letters, digits
// and . _ - ; no dot first, at most 200 characters, and none of ckpt's own.
bool IsImageFileName(absl::string_view name);

// Those of the store, by name.
absl::StatusOr<std::vector<v1::ArrivingImage>> ListArriving(
    const ImageStore& store);

// Removes what has arrived of an image; false: nothing has.  Unavailable:
// somebody writes it.
absl::StatusOr<bool> RemoveArriving(const ImageStore& store,
                                    const std::string& name);

}  // namespace ckpt

#endif  // CKPT_STORE_ARRIVING_IMAGE_H_
