// The record of what has arrived of an image, on the disk beside it: which
// transfer it is, and each chunk with its sum.
//
//   ArrivalLog log(dir_fd);
//   CKPT_ASSIGN_OR_RETURN(absl::optional<ArrivalLog::Found> found, log.Load());
//   if (!found.has_value()) CKPT_RETURN_IF_ERROR(log.Begin(announcement));
//   ... write the chunk's bytes ...
//   CKPT_RETURN_IF_ERROR(log.Add(chunk));
//
// An entry may be there before the bytes that it tells of are on the disk: it
// counts when it is read back only if the file has bytes of that sum there.  So
// nothing has to be waited for, and neither a killed receiver nor a crashed
// machine leaves a record that lies.
//
// Thread-compatible.  Borrows the directory.
#ifndef CKPT_TRANSFER_ARRIVAL_LOG_H_
#define CKPT_TRANSFER_ARRIVAL_LOG_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "base/unique_fd.h"
#include "proto/transfer.pb.h"
#include "store/arriving_sums.h"
#include "transfer/ranges.h"

namespace ckpt::transfer {

class ArrivalLog {
 public:
  struct Found {
    v1::ImageAnnouncement begin;
    FileRangeSets arrived;
    ArrivingSums sums;
  };

  explicit ArrivalLog(int dir_fd) : dir_fd_(dir_fd) {}

  // What was written down and is true, and goes on after it.  Nothing when
  // there is no record.  Reads all that has arrived.
  absl::StatusOr<absl::optional<Found>> Load();

  // Removes all files of the directory, and begins a record.
  absl::Status Begin(const v1::ImageAnnouncement& announcement);

  absl::Status Add(const v1::ArrivedChunk& chunk);

  // Brings the record to the disk.
  absl::Status Sync();

 private:
  absl::Status Append(const v1::ArrivalEntry& entry);

  const int dir_fd_;
  UniqueFd fd_;
};

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_ARRIVAL_LOG_H_
