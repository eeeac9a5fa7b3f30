#include "transfer/span_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "transfer/chunk.h"

namespace ckpt::transfer {

absl::Status SpanReader::Start(const Span& span) {
  if (!fd_.ok() || name_ != span.file) {
    CKPT_ASSIGN_OR_RETURN(fd_,
                          OpenAt(dir_fd_, span.file, O_RDONLY | O_NOFOLLOW));
    name_ = span.file;
  }
  position_ = span.begin;
  end_ = span.end;
  return absl::OkStatus();
}

absl::StatusOr<absl::string_view> SpanReader::Next() {
  if (position_ >= end_) return absl::string_view();
  // Where the file system does not tell of holes, there are none.
  const off_t data =
      ::lseek(fd_.get(), static_cast<off_t>(position_), SEEK_DATA);
  if (data < 0 && errno == ENXIO) {
    position_ = end_;
    return absl::string_view();
  }
  if (data >= 0) position_ = std::max(position_, static_cast<uint64_t>(data));
  if (position_ >= end_) return absl::string_view();
  // Up to the next multiple, so that pieces are alike whoever cuts them.
  const uint64_t size =
      std::min(end_ - position_, kChunkBytes - position_ % kChunkBytes);
  buffer_.resize(size);
  size_t have = 0;
  while (have < size) {
    const ssize_t count = ::pread(fd_.get(), buffer_.data() + have, size - have,
                                  static_cast<off_t>(position_ + have));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoToStatus(errno, "read", name_);
    if (count == 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          name_, " is shorter than it was: somebody changes the image"));
    }
    have += static_cast<size_t>(count);
  }
  offset_ = position_;
  position_ += size;
  return absl::string_view(buffer_);
}

}  // namespace ckpt::transfer
