#include "transfer/feed.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "base/file.h"
#include "base/status.h"
#include "store/layout.h"
#include "transfer/chunk.h"

namespace ckpt::transfer {
namespace {

// Small enough that streams end together, large enough that a file is seldom
// opened.
constexpr uint64_t kSpanBytes = 16 << 20;

// How often a file that grows is looked at.  CRIU writes about a gigabyte a
// second, so this is some chunks.
constexpr absl::Duration kGrowthPause = absl::Milliseconds(5);

}  // namespace

void Feed::Complete(const v1::Manifest& manifest) {
  const absl::MutexLock lock(&mutex_);
  std::map<std::string, File> files;
  for (const v1::ManifestFile& file : manifest.files()) {
    const auto known = files_.find(file.name());
    files[file.name()] = {
        .size = file.size_bytes(),
        .taken = known == files_.end() ? 0 : known->second.taken};
  }
  files_ = std::move(files);
  next_file_.clear();
  complete_ = true;
  changed_.SignalAll();
}

void Feed::Restart(FileRangeSets arrived) {
  const absl::MutexLock lock(&mutex_);
  arrived_ = std::move(arrived);
  for (auto& [name, file] : files_) file.taken = 0;
  next_file_.clear();
  spans_ = 0;
  interrupted_ = false;
}

void Feed::Interrupt() {
  const absl::MutexLock lock(&mutex_);
  interrupted_ = true;
  changed_.SignalAll();
}

absl::Status Feed::LookForGrowth() {
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListDirectoryAt(dir_fd_, "."));
  for (const std::string& name : names) {
    struct stat about {};
    if (!IsPagesFile(name) ||
        ::fstatat(dir_fd_, name.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(about.st_mode)) {
      continue;
    }
    // Whole chunks: the last page may be half written.
    const auto size = static_cast<uint64_t>(about.st_size);
    File& file = files_[name];
    file.size = std::max(file.size, size - size % kChunkBytes);
  }
  return absl::OkStatus();
}

absl::optional<Span> Feed::TakeOf(const std::string& name, File& file) {
  while (file.taken < file.size) {
    const auto arrived = arrived_.find(name);
    const RangeSet::Gap gap = arrived == arrived_.end()
                                  ? RangeSet::Gap{file.taken, file.size}
                                  : arrived->second.NextGap(file.taken);
    const uint64_t begin = std::min(gap.begin, file.size);
    file.taken = begin;
    if (begin == file.size) break;
    const uint64_t end =
        std::min({gap.end, file.size, begin - begin % kSpanBytes + kSpanBytes});
    file.taken = end;
    if (spans_++ % part_.streams == part_.stream) return Span{name, begin, end};
  }
  return absl::nullopt;
}

absl::optional<Span> Feed::Take() {
  for (auto it = files_.lower_bound(next_file_); it != files_.end(); ++it) {
    absl::optional<Span> span = TakeOf(it->first, it->second);
    if (span.has_value()) {
      if (complete_) next_file_ = it->first;
      return span;
    }
  }
  return absl::nullopt;
}

absl::StatusOr<absl::optional<Span>> Feed::Next() {
  const absl::MutexLock lock(&mutex_);
  while (!interrupted_) {
    if (!complete_) CKPT_RETURN_IF_ERROR(LookForGrowth());
    absl::optional<Span> span = Take();
    if (span.has_value() || complete_) return span;
    changed_.WaitWithTimeout(&mutex_, kGrowthPause);
  }
  return absl::optional<Span>();
}

}  // namespace ckpt::transfer
