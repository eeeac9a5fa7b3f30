// The files of an arriving image, and what of them has arrived: shared by the
// streams of a transfer.
#ifndef CKPT_TRANSFER_ARRIVING_FILES_H_
#define CKPT_TRANSFER_ARRIVING_FILES_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "proto/transfer.pb.h"
#include "store/arriving_image.h"
#include "store/arriving_sums.h"
#include "transfer/arrival_log.h"
#include "transfer/block_writer.h"
#include "transfer/ranges.h"

namespace ckpt::transfer {

// Thread-safe.
class ArrivingFiles {
 public:
  // Goes on from what is there, if it is of the announced transfer; else begins
  // anew.  AlreadyExists: it is of another group.
  static absl::StatusOr<std::shared_ptr<ArrivingFiles>> Open(
      std::unique_ptr<ArrivingImage> image,
      const v1::ImageAnnouncement& announcement);

  ~ArrivingFiles();

  const v1::ImageAnnouncement& announcement() const { return announcement_; }
  int dir_fd() const { return image_->dir_fd(); }
  FileRangeSets Arrived();

  // Writes memory pages; notes them by itself.
  BlockWriter& writer() { return *writer_; }

  // InvalidArgument: more files than there may be.  Aborted: the transfer has
  // ended.
  absl::Status Admit(const v1::ImageChunk& chunk);
  // Around the writing of a piece.  InvalidArgument: more bytes than there may
  // be.  Aborted: as above.
  absl::Status BeginWrite();
  // `written` is whether it was.
  absl::Status EndWrite(const v1::ArrivedChunk& piece, bool written);

  // See Arrival.
  absl::StatusOr<v1::ArrivalResult> Commit(absl::string_view manifest);
  absl::Status Discard();

 private:
  explicit ArrivingFiles(std::unique_ptr<ArrivingImage> image);

  absl::Status Late() const;
  // Of what has arrived.
  absl::Status CheckBounds() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  // What of a file has arrived and is not on its way to the disk yet.
  struct Dirty {
    uint64_t bytes = 0;
    uint64_t begin = 0;  // of a part that has all of that
    uint64_t end = 0;
  };

  absl::Status Note(const v1::ArrivedChunk& piece, bool written,
                    Dirty* to_write) ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for those who write, and lets nobody write any more.
  absl::Status Close();

  const std::unique_ptr<ArrivingImage> image_;
  v1::ImageAnnouncement announcement_;
  absl::Mutex mutex_;
  ArrivalLog log_ ABSL_GUARDED_BY(mutex_);
  FileRangeSets arrived_ ABSL_GUARDED_BY(mutex_);
  uint64_t arrived_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t pieces_ ABSL_GUARDED_BY(mutex_) = 0;  // each an entry of the record
  size_t ranges_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t synced_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int writing_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  ArrivingSums sums_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Dirty> dirty_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<BlockWriter> writer_;  // from Open() to the end
};

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_ARRIVING_FILES_H_
