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

// Blocks that wait for the disk, of all streams of a transfer.
constexpr size_t kMostWaiting = 4;
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
      thread_([this] { Run(); }) {}

BlockWriter::~BlockWriter() {
  {
    const absl::MutexLock lock(&mutex_);
    ending_ = true;
  }
  thread_.join();
}

BlockWriter::Block BlockWriter::Take() {
  {
    const absl::MutexLock lock(&mutex_);
    if (!free_.empty()) {
      Block block = std::move(free_.back());
      free_.pop_back();
      return block;
    }
  }
  Block block;
  block.memory.reset(
      static_cast<char*>(std::aligned_alloc(kAlignment, kBlockBytes)));
  return block;
}

absl::Status BlockWriter::HandOver(Block block) {
  CKPT_RETURN_IF_ERROR(notes_.begin(static_cast<int>(block.pieces.size())));
  const absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(
      +[](std::deque<Block>* waiting) {
        return waiting->size() < kMostWaiting;
      },
      &waiting_));
  ++block.stream->pending_;
  waiting_.push_back(std::move(block));
  return status_;
}

void BlockWriter::Run() {
  const auto has_work = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return !waiting_.empty() || ending_;
  };
  while (true) {
    Block block;
    absl::Status status;
    {
      const absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&has_work));
      if (waiting_.empty()) return;
      block = std::move(waiting_.front());
      waiting_.pop_front();
      status = status_;
    }
    if (status.ok()) status = Write(block);
    const bool written = status.ok();
    for (const v1::ArrivedChunk& piece : block.pieces) {
      const absl::Status noted = notes_.end(piece, written);
      if (status.ok()) status = noted;
    }
    block.pieces.clear();
    block.size = 0;
    const absl::MutexLock lock(&mutex_);
    if (status_.ok()) status_ = status;
    --block.stream->pending_;
    if (free_.size() < kMostWaiting) free_.push_back(std::move(block));
  }
}

absl::Status BlockWriter::OpenFile(const std::string& name, int more_flags,
                                   UniqueFd& fd) {
  if (fd.ok()) return absl::OkStatus();
  CKPT_ASSIGN_OR_RETURN(
      fd, OpenAt(dir_fd_, name, O_WRONLY | O_CREAT | O_NOFOLLOW | more_flags,
                 0600));
  return absl::OkStatus();
}

size_t BlockWriter::WritePastCache(const Block& block) {
  const uint64_t offset = block.pieces.front().offset();
  const size_t size = block.size - block.size % kAlignment;
  if (!past_cache_ || !IsAligned(offset) || size < kLeastDirect) return 0;
  if (!OpenFile(block.pieces.front().file(), O_DIRECT, direct_file_).ok()) {
    past_cache_ = false;
    return 0;
  }
  size_t written = 0;
  while (written < size) {
    const ssize_t count =
        ::pwrite(direct_file_.get(), block.memory.get() + written,
                 size - written, static_cast<off_t>(offset + written));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && SaysCannot(errno)) past_cache_ = false;
    if (count <= 0 || !IsAligned(static_cast<uint64_t>(count))) break;
    written += static_cast<size_t>(count);
  }
  return written;
}

absl::Status BlockWriter::Write(const Block& block) {
  const v1::ArrivedChunk& first = block.pieces.front();
  if (name_ != first.file()) {
    name_ = first.file();
    file_.Reset();
    direct_file_.Reset();
  }
  // What could not be written so is tried the other way, which tells why.
  const size_t written = WritePastCache(block);
  if (written == block.size) return absl::OkStatus();
  CKPT_RETURN_IF_ERROR(OpenFile(first.file(), 0, file_));
  return WriteBytes(
      file_.get(),
      absl::string_view(block.memory.get() + written, block.size - written),
      first.offset() + written, first.file());
}

absl::Status BlockWriter::Stream::HandOver() {
  if (block_.pieces.empty()) return absl::OkStatus();
  block_.stream = this;
  return writer_.HandOver(std::exchange(block_, Block()));
}

absl::Status BlockWriter::Stream::Add(const v1::ArrivedChunk& piece,
                                      absl::string_view bytes) {
  static_assert(kMaxChunkBytes <= kBlockBytes);
  if (!block_.pieces.empty()) {
    const v1::ArrivedChunk& last = block_.pieces.back();
    if (last.file() != piece.file() ||
        last.offset() + last.length() != piece.offset() ||
        block_.size + bytes.size() > kBlockBytes) {
      CKPT_RETURN_IF_ERROR(HandOver());
    }
  }
  if (block_.memory == nullptr) block_ = writer_.Take();
  if (block_.memory == nullptr) {
    return absl::ResourceExhaustedError("no memory for what arrives");
  }
  std::memcpy(block_.memory.get() + block_.size, bytes.data(), bytes.size());
  block_.size += bytes.size();
  block_.pieces.push_back(piece);
  return block_.size == kBlockBytes ? HandOver() : absl::OkStatus();
}

absl::Status BlockWriter::Stream::Flush() {
  const absl::Status handed = HandOver();
  const absl::MutexLock lock(&writer_.mutex_);
  writer_.mutex_.Await(absl::Condition(
      +[](int* pending) { return *pending == 0; }, &pending_));
  return writer_.status_.ok() ? handed : writer_.status_;
}

}  // namespace ckpt::transfer
