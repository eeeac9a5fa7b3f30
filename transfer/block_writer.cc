#include "transfer/block_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "transfer/chunk.h"

namespace ckpt::transfer {
namespace {

// Pieces that wait for the disk, of all streams of a transfer: 2 MiB.
constexpr size_t kMostWaiting = 8;
// Of memory, offset and length; more than any disk asks for.
constexpr size_t kAlignment = 4096;
// Less is not worth waiting for the disk.
constexpr size_t kLeastDirect = 64 << 10;

bool IsAligned(uint64_t number) { return number % kAlignment == 0; }

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
      block_(static_cast<char*>(std::aligned_alloc(kAlignment, kBlockBytes))),
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
      +[](std::deque<Piece>* waiting) {
        return waiting->size() < kMostWaiting;
      },
      &waiting_));
  ++piece.stream->pending_;
  waiting_.push_back(std::move(piece));
  return status_;
}

std::string BlockWriter::Recycled() {
  const absl::MutexLock lock(&mutex_);
  if (recycled_.empty()) return "";
  std::string bytes = std::move(recycled_.back());
  recycled_.pop_back();
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
      if (recycled_.size() == kMostWaiting) continue;
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

size_t BlockWriter::WritePastCache(uint64_t offset, size_t size) {
  size -= size % kAlignment;
  if (!past_cache_ || !IsAligned(offset) || size < kLeastDirect) return 0;
  if (!OpenFile(O_DIRECT, direct_file_).ok()) {
    past_cache_ = false;
    return 0;
  }
  size_t written = 0;
  while (written < size) {
    const ssize_t count =
        ::pwrite(direct_file_.get(), block_.get() + written, size - written,
                 static_cast<off_t>(offset + written));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && SaysCannot(errno)) past_cache_ = false;
    if (count <= 0 || !IsAligned(static_cast<uint64_t>(count))) break;
    written += static_cast<size_t>(count);
  }
  return written;
}

absl::Status BlockWriter::Write(const std::vector<Piece>& pieces) {
  if (block_ == nullptr) {
    return absl::ResourceExhaustedError("no memory for what arrives");
  }
  const v1::ArrivedChunk& first = pieces.front().head;
  if (name_ != first.file()) {
    name_ = first.file();
    file_.Reset();
    direct_file_.Reset();
  }
  size_t size = 0;
  for (const Piece& piece : pieces) {
    std::memcpy(block_.get() + size, piece.bytes.data(), piece.bytes.size());
    size += piece.bytes.size();
  }
  // What could not be written so is tried the other way, which tells why.
  const size_t written = WritePastCache(first.offset(), size);
  if (written == size) return absl::OkStatus();
  CKPT_RETURN_IF_ERROR(OpenFile(0, file_));
  return WriteBytes(file_.get(),
                    absl::string_view(block_.get() + written, size - written),
                    first.offset() + written, name_);
}

absl::Status BlockWriter::Stream::Add(const v1::ArrivedChunk& piece,
                                      std::string& bytes) {
  static_assert(kMaxChunkBytes <= kBlockBytes);
  std::string recycled = writer_.Recycled();
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
