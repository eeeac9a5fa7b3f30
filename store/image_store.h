// The images of a node: begin, open, list and remove them.
//
//   ImageStore store("/var/lib/ckpt");
//   CKPT_ASSIGN_OR_RETURN(std::unique_ptr<PendingImage> pending,
//                         store.Begin("job7"));
//   ... CRIU writes into pending->dir_fd() ...
//   CKPT_ASSIGN_OR_RETURN(const v1::Manifest manifest, pending->Seal(about));
//   CKPT_RETURN_IF_ERROR(std::move(*pending).Publish());
//
//   CKPT_ASSIGN_OR_RETURN(Image image, store.Open("job7"));
//   CKPT_RETURN_IF_ERROR(image.Verify());
//
// An image is a directory that is absent or whole (docs/image_format.md).  It
// is named in one of two ways:
//   job7         a NAME: the directory job7 of the store.  Letters, digits and
//                . _ - ; no dot first; at most 200 characters.
//   ./x, /a/b/x  anything with a slash: a path, used as it is.  Its parent must
//                exist; the store's directory plays no part.
//
// Caveats: unfinished images are hidden directories beside the finished ones.
// Whoever writes one holds a lock on it, and Begin() collects those whose lock
// is free.  On a network file system the lock is not seen by other nodes:
// nothing is collected there.
#ifndef CKPT_STORE_IMAGE_STORE_H_
#define CKPT_STORE_IMAGE_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/image.pb.h"
#include "store/image.h"
#include "store/pending_image.h"

namespace ckpt {

inline constexpr char kDefaultStoreDirectory[] = "/var/lib/ckpt";

// One line of List().
struct ImageSummary {
  std::string name;
  std::string path;
  // Why the manifest cannot be had, with the codes of Open(); OK normally.
  absl::Status status;
  v1::Manifest manifest;  // empty unless status is OK
  bool pinned = false;
};

// Thread-safe: holds nothing but the name of a directory.
class ImageStore {
 public:
  explicit ImageStore(std::string directory = kDefaultStoreDirectory);

  const std::string& directory() const { return directory_; }

  // The path that `name_or_path` stands for.
  // InvalidArgument: it is neither a name nor a path as described above.
  absl::StatusOr<std::string> PathOf(absl::string_view name_or_path) const;

  // Starts an image.  Creates the store's directory (0700) if need be, then
  // removes what dead writers left beside the new image.
  // InvalidArgument: as PathOf().  AlreadyExists: something has that name.
  // FailedPrecondition: the parent of a path does not exist, or is none.
  // PermissionDenied: it cannot be written to.  ResourceExhausted: no room.
  absl::StatusOr<std::unique_ptr<PendingImage>> Begin(
      absl::string_view name_or_path) const;

  // Opens an image for reading and keeps it from being removed.  Reads the
  // manifest, but not the files that it lists: see Image::Verify().
  // InvalidArgument: as PathOf().  NotFound: there is none.
  // FailedPrecondition: not an image, or of a newer format.  DataLoss: the
  // manifest is damaged.  Unavailable: it is being removed.
  absl::StatusOr<Image> Open(absl::string_view name_or_path) const;

  // The images of the store's directory, oldest first, damaged ones last.  A
  // store that was never used is empty.
  absl::StatusOr<std::vector<ImageSummary>> List() const;

  // Removes an image: it vanishes at once and durably, then its space is freed.
  // A damaged image is removed as well, as long as it has a manifest.
  // InvalidArgument: as PathOf().  NotFound: there is none.
  // FailedPrecondition: not an image, or pinned; nothing was touched.
  // Unavailable: it is in use (an Image or its writer holds it); nothing was
  // touched.
  // An error after it vanished says so; the next Begin() frees the rest.
  absl::Status Remove(absl::string_view name_or_path) const;

  // Keeps an image, whole or damaged, from being removed, until it is unpinned;
  // durable when they return.  True: it was not so before.
  // InvalidArgument: as PathOf().  NotFound: there is none.
  // FailedPrecondition: not an image.  Unavailable: it is being removed.
  // Errors of store/pin.h.
  absl::StatusOr<bool> Pin(absl::string_view name_or_path) const;
  absl::StatusOr<bool> Unpin(absl::string_view name_or_path) const;

  // Removes what dead writers and removers have left in the store's directory,
  // as Begin() does.  Tries all, and returns the first error.
  absl::Status CollectLeftovers() const;

 private:
  std::string directory_;
};

// OK if the file system of `dir_fd` has `bytes_needed` free for us, otherwise
// ResourceExhausted that names the directory, the need and what is free.
absl::Status CheckSpace(int dir_fd, uint64_t bytes_needed);

}  // namespace ckpt

#endif  // CKPT_STORE_IMAGE_STORE_H_
