// Takes images that arrive from other nodes into a store.
//
//   Receiver receiver(store);
//   CKPT_ASSIGN_OR_RETURN(std::unique_ptr<Arrival> arrival,
//                         receiver.Open(announcement));
//   ... send arrival->state() ...
//   CKPT_RETURN_IF_ERROR(arrival->Add(chunk));          // again and again
//   CKPT_ASSIGN_OR_RETURN(v1::ArrivalResult result, arrival->Commit(manifest));
//
// What was added is in the store's directory of the arriving image
// (store/arriving_image.h) and written down beside it: after a broken
// connection, or the death of this process, Open() with the same transfer_id
// tells what need not be sent again.  An image that was announced by another
// transfer_id is replaced, if it is of the same group and nobody sends it.
//
// Everything that comes in is taken to be hostile: docs/transfer.md lists the
// bounds.
#ifndef CKPT_TRANSFER_RECEIVER_H_
#define CKPT_TRANSFER_RECEIVER_H_

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/aligned_bytes.h"
#include "base/unique_fd.h"
#include "proto/transfer.pb.h"
#include "store/image_store.h"
#include "transfer/block_writer.h"
#include "transfer/chunk.h"

namespace ckpt::transfer {

class ArrivingFiles;  // what the streams of one transfer share

// One stream of a transfer.  Thread-compatible.  The last that goes leaves what
// has arrived to be resumed.
class Arrival {
 public:
  ~Arrival();
  Arrival(const Arrival&) = delete;
  Arrival& operator=(const Arrival&) = delete;

  // The answer to the announcement.  When it says committed, nothing is left to
  // do.
  const v1::ArrivalState& state() const { return state_; }

  // Takes a piece, which is written soon, and counts as arrived then.  Its
  // bytes are in `apart`, or in chunk.data where that is null or empty; those
  // of `apart` may be taken, and others left that mean nothing.
  // InvalidArgument: it is refused.  DataLoss: it is not what was sent.  Both
  // name file and offset.  ResourceExhausted: the disk is full, of which an
  // earlier call may have been the reason; what has arrived stays.  Aborted: it
  // was committed or discarded meanwhile.
  absl::Status Add(const v1::ImageChunk& chunk, AlignedBytes* apart = nullptr);

  // Waits until all that was added is written.  Errors of Add().
  absl::Status Flush();

  // Makes it an image.  Ends the other streams.  Errors of
  // ArrivingImage::Commit(); PermissionDenied when the manifest tells of
  // another group than was announced.  After DataLoss nothing is left of what
  // had arrived.
  absl::StatusOr<v1::ArrivalResult> Commit(absl::string_view manifest);

  // Removes what has arrived.
  absl::Status Discard();

 private:
  friend class Receiver;
  explicit Arrival(std::shared_ptr<ArrivingFiles> files);
  // Parts of a piece, at once.
  absl::Status WriteRuns(const v1::ImageChunk& chunk,
                         const ChunkDecoder::Piece& piece);

  std::shared_ptr<ArrivingFiles> files_;        // null: it is there already
  std::unique_ptr<BlockWriter::Stream> pages_;  // null: the same
  v1::ArrivalState state_;
  ChunkDecoder decoder_;
  AlignedBytes copy_;      // of bytes that came otherwise
  std::string open_name_;  // of the file that was written last
  UniqueFd open_file_;
};

// Thread-safe.  Must outlive its arrivals.
class Receiver {
 public:
  explicit Receiver(ImageStore store) : store_(std::move(store)) {}

  // A stream of the announced transfer.
  // InvalidArgument: a field is no name or id.  AlreadyExists: there is another
  // image of that name, or one of another group arrives.  Unavailable: another
  // transfer to that name is under way.  Errors of ArrivingImage::Open().
  absl::StatusOr<std::unique_ptr<Arrival>> Open(
      const v1::ImageAnnouncement& announcement);

  // Whether another stream of the announced transfer is there.
  bool IsUnderWay(const v1::ImageAnnouncement& announcement);

 private:
  struct Name {
    absl::Mutex mutex;
    // Looked at without it where nobody else has the Name.
    std::weak_ptr<ArrivingFiles> files;
  };

  absl::StatusOr<std::shared_ptr<ArrivingFiles>> FilesOf(
      const v1::ImageAnnouncement& announcement);

  const ImageStore store_;
  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<Name>> names_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_RECEIVER_H_
