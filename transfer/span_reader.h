// Reads spans of files in pieces, without their holes.
//
//   SpanReader reader(dir_fd);
//   CKPT_RETURN_IF_ERROR(reader.Start(span));
//   while (true) {
//     CKPT_ASSIGN_OR_RETURN(const absl::string_view piece, reader.Next());
//     if (piece.empty()) break;
//     ... piece is at reader.offset() ...
//   }
#ifndef CKPT_TRANSFER_SPAN_READER_H_
#define CKPT_TRANSFER_SPAN_READER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "transfer/feed.h"

namespace ckpt::transfer {

// Thread-compatible.  Borrows the directory.
class SpanReader {
 public:
  explicit SpanReader(int dir_fd) : dir_fd_(dir_fd) {}

  // NotFound, PermissionDenied, ...: the file cannot be opened.
  absl::Status Start(const Span& span);

  // The next piece, at most kChunkBytes, until the next call; empty: the span
  // is over.  FailedPrecondition: the file is shorter than it was.
  absl::StatusOr<absl::string_view> Next();

  uint64_t offset() const { return offset_; }

 private:
  const int dir_fd_;
  std::string name_;  // of the open file
  UniqueFd fd_;
  uint64_t offset_ = 0;    // of the last piece
  uint64_t position_ = 0;  // after it
  uint64_t end_ = 0;
  std::string buffer_;
};

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_SPAN_READER_H_
