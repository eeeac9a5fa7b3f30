// An image opened for reading: a held directory, locked against removal.
//
//   CKPT_ASSIGN_OR_RETURN(Image image, store.Open("job7"));
//   CKPT_RETURN_IF_ERROR(image.Verify());
//   ... CRIU reads from image.dir_fd() ...
//
// Verify before any process exists: CRIU does not notice a flipped bit, and a
// page file that is too short makes it spin for ever.
//
// Caveat: the lock goes with the descriptor.  A child that inherits it without
// exec keeps the image from being removed.
#ifndef CKPT_STORE_IMAGE_H_
#define CKPT_STORE_IMAGE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "base/unique_fd.h"
#include "proto/image.pb.h"

namespace ckpt {

// Movable.  Thread-compatible.
class Image {
 public:
  // Opens the directory at `path`; `name` is what the user calls it.  The codes
  // are those of ImageStore::Open(), through which to come here.
  static absl::StatusOr<Image> Open(const std::string& path,
                                    const std::string& name);

  // Open for the life of this object, with a shared lock.
  int dir_fd() const { return dir_.get(); }
  const std::string& name() const { return name_; }
  const std::string& path() const { return path_; }
  const v1::Manifest& manifest() const { return manifest_; }
  // Now; see ImageStore::Pin().
  bool pinned() const;
  // Whether another node has sent it, or sent it on: what its manifest says is
  // that node's word.
  bool arrived() const;

  // OK if the directory holds what was sealed, bit by bit: every file that the
  // manifest lists, with that size, that SHA-256 and that block sum (if it has
  // one), and no other.  What CRIU leaves there later is overlooked:
  // stats-dump, stats-restore, the pin and, after a restore that was killed,
  // .criu.*.  Reads everything (two threads).
  // DataLoss: names the image, the file and what differs.  Cancelled, soon,
  // when `cancel` (may be null) is.
  absl::Status Verify(const Cancellation* cancel = nullptr) const;

 private:
  Image(UniqueFd dir, std::string path, std::string name,
        v1::Manifest manifest);

  UniqueFd dir_;
  std::string path_;
  std::string name_;
  v1::Manifest manifest_;
};

}  // namespace ckpt

#endif  // CKPT_STORE_IMAGE_H_
