#include "store/growing_digests.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "store/layout.h"

namespace ckpt {
namespace {

// One read.  So short that the thread soon sees that it is to stop.
constexpr size_t kReadBytes = 256 << 10;
// What is digested again at most, besides what comes after a change: 9 ms.
constexpr uint64_t kFallBackBytes = 16 << 20;
// Open descriptors at a time; the pages of further processes are digested when
// all is written.
constexpr size_t kMostFiles = 128;
constexpr absl::Duration kPollInterval = absl::Milliseconds(1);

}  // namespace

std::unique_ptr<GrowingDigests> GrowingDigests::Start(int dir_fd) {
  auto digests = absl::WrapUnique(new GrowingDigests(dir_fd));
  GrowingDigests* const self = digests.get();
  digests->thread_ = std::thread([self] { self->Run(); });
  return digests;
}

void GrowingDigests::Stop() {
  if (!thread_.joinable()) return;
  stop_.Notify();
  thread_.join();
}

void GrowingDigests::Run() {
  buffer_.resize(kReadBytes);
  while (!stop_.HasBeenNotified()) {
    bool has_read = false;
    for (auto& entry : files_) {
      while (!stop_.HasBeenNotified() && ReadOn(entry.second)) has_read = true;
    }
    if (has_read) continue;
    FindFiles();
    stop_.WaitForNotificationWithTimeout(kPollInterval);
  }
}

void GrowingDigests::FindFiles() {
  const auto names = ListDirectoryAt(dir_fd_, ".");
  if (!names.ok()) return;  // whoever seals the image will tell
  for (const std::string& name : *names) {
    if (!IsPagesFile(name) || files_.count(name) != 0) continue;
    if (files_.size() == kMostFiles) return;
    auto fd = OpenAt(dir_fd_, name, O_RDONLY | O_NOFOLLOW);
    if (fd.ok()) files_[name].fd = *std::move(fd);
  }
}

bool GrowingDigests::ReadOn(File& file) {
  Part& part = file.part;
  const ssize_t count = ::pread(file.fd.get(), buffer_.data(), buffer_.size(),
                                static_cast<off_t>(part.bytes));
  if (count <= 0) return false;
  const absl::string_view read(buffer_.data(), static_cast<size_t>(count));
  part.hash.Add(read);
  part.sum.Add(read);
  part.bytes += static_cast<uint64_t>(count);
  bytes_read_ += static_cast<uint64_t>(count);
  const uint64_t last = file.earlier.empty() ? 0 : file.earlier.back().bytes;
  if (part.bytes - last < kFallBackBytes) return true;
  file.earlier.push_back(part.Copy());
  // Only a hint: fsync() will report what goes wrong.
  ::sync_file_range(file.fd.get(), static_cast<off_t>(last),
                    static_cast<off_t>(part.bytes - last),
                    SYNC_FILE_RANGE_WRITE);
  return true;
}

void GrowingDigests::Changed(const std::string& name, uint64_t offset) {
  Stop();
  const auto found = files_.find(name);
  if (found == files_.end() || found->second.part.bytes <= offset) return;
  File& file = found->second;
  while (!file.earlier.empty() && file.earlier.back().bytes > offset) {
    file.earlier.pop_back();
  }
  file.part = file.earlier.empty() ? Part() : file.earlier.back().Copy();
}

std::optional<GrowingDigests::Part> GrowingDigests::Take(
    const std::string& name) {
  Stop();
  const auto found = files_.find(name);
  if (found == files_.end() || found->second.part.bytes == 0) {
    return std::nullopt;
  }
  Part part = std::move(found->second.part);
  files_.erase(found);
  return part;
}

}  // namespace ckpt
