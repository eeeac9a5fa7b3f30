#include "transfer/arrival_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/file.h"
#include "base/status.h"
#include "store/arriving_image.h"
#include "store/layout.h"
#include "transfer/chunk.h"

namespace ckpt::transfer {
namespace {

std::string FileName() { return absl::StrCat(kArrivingOwnPrefix, "record"); }

// Before each entry.
struct Head {
  uint32_t size;
  uint32_t sum;  // of the entry
};
constexpr uint32_t kMaxEntryBytes = 4096;

uint32_t HeadSum(absl::string_view entry) {
  return static_cast<uint32_t>(SumOf(entry));
}

// Reads `size` bytes; false at the end of the file, and after an error, which
// here means the same.
bool ReadExactly(int fd, void* data, size_t size) {
  size_t have = 0;
  while (have < size) {
    const ssize_t count =
        ::read(fd, static_cast<char*>(data) + have, size - have);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    have += static_cast<size_t>(count);
  }
  return true;
}

// The next entry; false at the first that is not whole.
bool ReadEntry(int fd, v1::ArrivalEntry& entry) {
  Head head = {};
  if (!ReadExactly(fd, &head, sizeof(head)) || head.size > kMaxEntryBytes) {
    return false;
  }
  std::string bytes(head.size, '\0');
  return ReadExactly(fd, bytes.data(), bytes.size()) &&
         HeadSum(bytes) == head.sum && entry.ParseFromString(bytes);
}

// Whether chunks are in the files as written down: one file open at a time, as
// they mostly come in its order.
class Proof {
 public:
  explicit Proof(int dir_fd) : dir_fd_(dir_fd) {}

  bool Holds(const v1::ArrivedChunk& chunk) {
    if (!IsImageFileName(chunk.file()) || chunk.length() > kMaxChunkBytes) {
      return false;
    }
    if (name_ != chunk.file()) {
      auto opened = OpenAt(dir_fd_, chunk.file(), O_RDONLY | O_NOFOLLOW);
      if (!opened.ok()) return false;
      fd_ = *std::move(opened);
      name_ = chunk.file();
    }
    buffer_.resize(chunk.length());
    size_t have = 0;
    while (have < buffer_.size()) {
      const ssize_t count =
          ::pread(fd_.get(), buffer_.data() + have, buffer_.size() - have,
                  static_cast<off_t>(chunk.offset() + have));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return false;
      if (count == 0) break;
      have += static_cast<size_t>(count);
    }
    // Zeros at the end may never have been written.
    std::memset(buffer_.data() + have, 0, buffer_.size() - have);
    return SumOf(buffer_) == chunk.xxh3();
  }

 private:
  const int dir_fd_;
  std::string name_;
  UniqueFd fd_;
  std::string buffer_;
};

}  // namespace

absl::StatusOr<absl::optional<ArrivalLog::Found>> ArrivalLog::Load() {
  auto opened = OpenAt(dir_fd_, FileName(), O_RDWR | O_NOFOLLOW);
  if (absl::IsNotFound(opened.status())) return absl::optional<Found>();
  CKPT_RETURN_IF_ERROR(opened.status());
  fd_ = *std::move(opened);
  v1::ArrivalEntry entry;
  if (!ReadEntry(fd_.get(), entry) || !entry.has_begin()) {
    return absl::optional<Found>();
  }
  Found found;
  found.begin = entry.begin();
  Proof proof(dir_fd_);
  off_t good = ::lseek(fd_.get(), 0, SEEK_CUR);
  while (ReadEntry(fd_.get(), entry)) {
    good = ::lseek(fd_.get(), 0, SEEK_CUR);
    const v1::ArrivedChunk& chunk = entry.chunk();
    if (proof.Holds(chunk)) {
      found.arrived[chunk.file()].Add(chunk.offset(),
                                      chunk.offset() + chunk.length());
      found.sums.Found(chunk.file(), chunk.offset(),
                       chunk.offset() + chunk.length(), chunk.xxh3());
    }
  }
  CKPT_RETURN_IF_ERROR(found.sums.Resume(dir_fd_));
  // What follows was cut off in the middle of a write.
  if (::ftruncate(fd_.get(), good) != 0 ||
      ::lseek(fd_.get(), good, SEEK_SET) < 0) {
    return ErrnoToStatus(errno, "cut", FileName());
  }
  return absl::optional<Found>(std::move(found));
}

absl::Status ArrivalLog::Begin(const v1::ImageAnnouncement& announcement) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListDirectoryAt(dir_fd_, "."));
  for (const std::string& name : names) {
    if (::unlinkat(dir_fd_, name.c_str(), 0) != 0) {
      return ErrnoToStatus(errno, "remove", name);
    }
  }
  CKPT_ASSIGN_OR_RETURN(
      fd_, OpenAt(dir_fd_, FileName(), O_RDWR | O_CREAT | O_EXCL, 0600));
  v1::ArrivalEntry entry;
  *entry.mutable_begin() = announcement;
  CKPT_RETURN_IF_ERROR(Append(entry));
  return Sync();
}

absl::Status ArrivalLog::Add(const v1::ArrivedChunk& chunk) {
  v1::ArrivalEntry entry;
  *entry.mutable_chunk() = chunk;
  return Append(entry);
}

absl::Status ArrivalLog::Sync() { return Fsync(fd_.get(), FileName()); }

absl::Status ArrivalLog::Append(const v1::ArrivalEntry& entry) {
  const std::string bytes = entry.SerializeAsString();
  if (bytes.size() > kMaxEntryBytes) {
    return absl::InvalidArgumentError(
        "an announcement that is too long; nothing was done");
  }
  const Head head = {.size = static_cast<uint32_t>(bytes.size()),
                     .sum = HeadSum(bytes)};
  std::string framed(reinterpret_cast<const char*>(&head), sizeof(head));
  framed += bytes;
  return WriteAll(fd_.get(), framed, FileName());
}

}  // namespace ckpt::transfer
