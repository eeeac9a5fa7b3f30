#include "store/arriving_sums.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "store/block_sum.h"
#include "store/layout.h"

namespace ckpt {
namespace {

constexpr uint64_t kToBeRead = 0;

bool IsOneBlock(uint64_t begin, uint64_t end) {
  return begin % kSumBlockBytes == 0 && end - begin == kSumBlockBytes;
}

// Up to `size` bytes; fewer at the end of the file only.
absl::StatusOr<size_t> ReadAt(int fd, uint64_t offset, char* data, size_t size,
                              const std::string& name) {
  size_t have = 0;
  while (have < size) {
    const ssize_t count = ::pread(fd, data + have, size - have,
                                  static_cast<off_t>(offset + have));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoToStatus(errno, "read", name);
    if (count == 0) break;
    have += static_cast<size_t>(count);
  }
  return have;
}

}  // namespace

void ArrivingSums::CountNew(size_t added) {
  blocks_ += added;
  if (blocks_ <= most_blocks_) return;
  too_many_ = true;
  files_.clear();
  blocks_ = 0;
}

void ArrivingSums::Wrote(const std::string& name, uint64_t begin, uint64_t end,
                         std::optional<uint64_t> xxh3) {
  if (!Knows(name) || begin >= end) return;
  Blocks& blocks = files_[name];
  const size_t before = blocks.size();
  const uint64_t last = (end - 1) / kSumBlockBytes;
  for (uint64_t block = begin / kSumBlockBytes; block <= last; ++block) {
    // What was written before may be where this one has left zeros out.
    const bool is_new = blocks.count(block) == 0;
    blocks[block] = is_new && xxh3.has_value() && IsOneBlock(begin, end)
                        ? *xxh3
                        : kToBeRead;
  }
  CountNew(blocks.size() - before);
}

void ArrivingSums::Found(const std::string& name, uint64_t begin, uint64_t end,
                         uint64_t xxh3) {
  if (!Knows(name) || !IsOneBlock(begin, end)) return;
  CountNew(files_[name].insert_or_assign(begin / kSumBlockBytes, xxh3).second
               ? 1
               : 0);
}

absl::Status ArrivingSums::Resume(int dir_fd) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListDirectoryAt(dir_fd, "."));
  for (const std::string& name : names) {
    if (Knows(name)) CKPT_RETURN_IF_ERROR(MarkData(dir_fd, name));
  }
  return absl::OkStatus();
}

absl::Status ArrivingSums::MarkData(int dir_fd, const std::string& name) {
  CKPT_ASSIGN_OR_RETURN(const UniqueFd fd,
                        OpenAt(dir_fd, name, O_RDONLY | O_NOFOLLOW));
  off_t end = 0;
  while (!too_many_) {
    // Where the file system does not tell of holes, all is data.
    const off_t begin = ::lseek(fd.get(), end, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) return absl::OkStatus();
    if (begin < 0) return ErrnoToStatus(errno, "look for the data of", name);
    end = ::lseek(fd.get(), begin, SEEK_HOLE);
    if (end < 0) return ErrnoToStatus(errno, "look for the holes of", name);
    Blocks& blocks = files_[name];
    const size_t before = blocks.size();
    const uint64_t last = static_cast<uint64_t>(end - 1) / kSumBlockBytes;
    for (uint64_t block = static_cast<uint64_t>(begin) / kSumBlockBytes;
         block <= last && blocks.size() - before <= most_blocks_; ++block) {
      blocks.try_emplace(block, kToBeRead);
    }
    CountNew(blocks.size() - before);
  }
  return absl::OkStatus();
}

bool ArrivingSums::Knows(const std::string& name) const {
  return !too_many_ && IsPagesFile(name);
}

absl::StatusOr<std::string> ArrivingSums::BlockSumOf(const std::string& name,
                                                     int fd,
                                                     uint64_t size) const {
  static const uint64_t zeros = Xxh3Of(std::string(kSumBlockBytes, '\0'));
  static const Blocks none;
  const auto found = files_.find(name);
  const Blocks& blocks = found == files_.end() ? none : found->second;
  BlockSum sum;
  std::string buffer;
  for (uint64_t at = 0; at < size; at += kSumBlockBytes) {
    const auto length =
        static_cast<size_t>(std::min<uint64_t>(size - at, kSumBlockBytes));
    const auto block = blocks.find(at / kSumBlockBytes);
    const uint64_t known = block == blocks.end() ? zeros : block->second;
    if (length == kSumBlockBytes && known != kToBeRead) {
      sum.AddBlock(known);
      continue;
    }
    buffer.resize(length);
    CKPT_ASSIGN_OR_RETURN(const size_t have,
                          ReadAt(fd, at, buffer.data(), length, name));
    if (have < length) {
      return absl::FailedPreconditionError(absl::StrCat(
          name, " is shorter than it was: somebody is still writing to it"));
    }
    sum.Add(buffer);
  }
  return sum.Finish();
}

}  // namespace ckpt
