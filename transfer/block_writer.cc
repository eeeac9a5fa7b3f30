#include "transfer/block_writer.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "transfer/chunk.h"

namespace ckpt::transfer {
namespace {

// Memory of what waits for the disk, of all streams of a transfer; and of what
// is kept for what comes next, which is all of it: given back to malloc() and
// asked for again it would be scattered over ever more memory.
constexpr size_t kMostWaitingBytes = 16 << 20;
constexpr size_t kMostRecycledBytes =
    kMostWaitingBytes + BlockWriter::kBlockBytes;

// More than any disk asks for.
bool IsAligned(uint64_t number) { return number % kDirectAlignment == 0; }

// Of a file system that has no O_DIRECT, or not for this file.
bool SaysCannot(int error) { return error == EINVAL || error == EOPNOTSUPP; }

}  // namespace

absl::Status WriteBytes(int fd, absl::string_view bytes, uint64_t offset,
                        const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t count =
        ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const absl::Status failed = ErrnoToStatus(errno, "write", name);
      return WithMessage(
          failed, absl::StrCat(failed.message(), " at offset ", offset,
                               "; what has arrived is kept for a day: make "
                               "room, and send it again"));
    }
    bytes.remove_prefix(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return absl::OkStatus();
}

BlockWriter::BlockWriter(int dir_fd, const Options& options, Notes notes)
    : dir_fd_(dir_fd),
      notes_(std::move(notes)),
      past_cache_(options.past_cache),
      thread_([this] { Run(); }) {}

BlockWriter::~BlockWriter() {
  {
    const absl::MutexLock lock(&mutex_);
    ending_ = true;
  }
  thread_.join();
}

absl::Status BlockWriter::status() const {
  const absl::MutexLock lock(&mutex_);
  return status_;
}

absl::Status BlockWriter::HandOver(Piece piece) {
  CKPT_RETURN_IF_ERROR(notes_.begin());
  const absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(
      +[](size_t* bytes) { return *bytes < kMostWaitingBytes; },
      &waiting_bytes_));
  waiting_bytes_ += piece.bytes.capacity();
  ++piece.stream->pending_;
  waiting_.push_back(std::move(piece));
  return status_;
}

AlignedBytes BlockWriter::Recycled() {
  const absl::MutexLock lock(&mutex_);
  AlignedBytes bytes;
  if (recycled_.empty()) {
    bytes.reserve(kChunkBytes);
    return bytes;
  }
  bytes = std::move(recycled_.back());
  recycled_.pop_back();
  recycled_bytes_ -= bytes.capacity();
  return bytes;
}

std::vector<BlockWriter::Piece> BlockWriter::NextBlock() {
  std::vector<Piece> block;
  size_t size = 0;
  for (auto next = waiting_.begin(); next != waiting_.end();) {
    const bool follows =
        block.empty() ||
        (next->head.file() == block.back().head.file() &&
         next->head.offset() ==
             block.back().head.offset() + block.back().head.length() &&
         size + next->bytes.size() <= kBlockBytes);
    if (!follows) {
      ++next;
      continue;
    }
    size += next->bytes.size();
    waiting_bytes_ -= next->bytes.capacity();
    block.push_back(std::move(*next));
    next = waiting_.erase(next);
  }
  return block;
}

void BlockWriter::Run() {
  const auto has_work = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return !waiting_.empty() || ending_;
  };
  while (true) {
    std::vector<Piece> block;
    absl::Status status;
    {
      const absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&has_work));
      if (waiting_.empty()) return;
      block = NextBlock();
      status = status_;
    }
    if (status.ok()) status = Write(block);
    const bool written = status.ok();
    for (const Piece& piece : block) {
      const absl::Status noted = notes_.end(piece.head, written);
      if (status.ok()) status = noted;
    }
    const absl::MutexLock lock(&mutex_);
    if (status_.ok()) status_ = status;
    for (Piece& piece : block) {
      --piece.stream->pending_;
      const size_t size = piece.bytes.capacity();
      if (recycled_bytes_ + size > kMostRecycledBytes) continue;
      recycled_bytes_ += size;
      recycled_.push_back(std::move(piece.bytes));
    }
  }
}

absl::Status BlockWriter::OpenFile(int more_flags, UniqueFd& fd) {
  if (fd.ok()) return absl::OkStatus();
  CKPT_ASSIGN_OR_RETURN(
      fd, OpenAt(dir_fd_, name_, O_WRONLY | O_CREAT | O_NOFOLLOW | more_flags,
                 0600));
  return absl::OkStatus();
}

size_t BlockWriter::WritePastCache(const std::vector<Piece>& pieces) {
  const uint64_t offset = pieces.front().head.offset();
  if (!past_cache_ || !IsAligned(offset)) return 0;
  std::vector<iovec> parts;
  size_t size = 0;
  for (const Piece& piece : pieces) {
    if (!IsAligned(size) || parts.size() == IOV_MAX) break;
    parts.push_back({.iov_base = const_cast<char*>(piece.bytes.data()),
                     .iov_len = piece.bytes.size()});
    size += piece.bytes.size();
  }
  const size_t rest = size % kDirectAlignment;
  parts.back().iov_len -= rest;
  if (size == rest) return 0;
  if (!OpenFile(O_DIRECT, direct_file_).ok()) {
    past_cache_ = false;
    return 0;
  }
  ssize_t count;
  do {
    count =
        ::pwritev(direct_file_.get(), parts.data(),
                  static_cast<int>(parts.size()), static_cast<off_t>(offset));
  } while (count < 0 && errno == EINTR);
  if (count < 0 && SaysCannot(errno)) past_cache_ = false;
  return count < 0 ? 0 : static_cast<size_t>(count);
}

absl::Status BlockWriter::Write(const std::vector<Piece>& pieces) {
  const std::string& name = pieces.front().head.file();
  if (name_ != name) {
    name_ = name;
    file_.Reset();
    direct_file_.Reset();
  }
  // What could not be written so is tried the other way, which tells why.
  size_t written = WritePastCache(pieces);
  for (const Piece& piece : pieces) {
    const size_t skipped = std::min(written, piece.bytes.size());
    written -= skipped;
    if (skipped == piece.bytes.size()) continue;
    CKPT_RETURN_IF_ERROR(OpenFile(0, file_));
    CKPT_RETURN_IF_ERROR(
        WriteBytes(file_.get(), absl::string_view(piece.bytes).substr(skipped),
                   piece.head.offset() + skipped, name_));
  }
  return absl::OkStatus();
}

absl::Status BlockWriter::Stream::Add(const v1::ArrivedChunk& piece,
                                      AlignedBytes& bytes) {
  static_assert(kMaxChunkBytes <= kBlockBytes);
  AlignedBytes recycled = writer_.Recycled();
  bytes.swap(recycled);
  return writer_.HandOver(
      {.head = piece, .bytes = std::move(recycled), .stream = this});
}

absl::Status BlockWriter::Stream::Flush() {
  const absl::MutexLock lock(&writer_.mutex_);
  writer_.mutex_.Await(absl::Condition(
      +[](int* pending) { return *pending == 0; }, &pending_));
  return writer_.status_;
}

}  // namespace ckpt::transfer
