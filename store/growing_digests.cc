#include "store/growing_digests.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
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
// The same where a network is what is waited for.
constexpr absl::Duration kReadyPollInterval = absl::Milliseconds(10);

}  // namespace

std::unique_ptr<GrowingDigests> GrowingDigests::Start(int dir_fd, Ready ready) {
  auto digests = absl::WrapUnique(new GrowingDigests(dir_fd, std::move(ready)));
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
    for (auto& [name, file] : files_) {
      while (!stop_.HasBeenNotified() && ReadOn(name, file)) has_read = true;
    }
    if (has_read) continue;
    FindFiles();
    stop_.WaitForNotificationWithTimeout(ready_ != nullptr ? kReadyPollInterval
                                                           : kPollInterval);
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

bool GrowingDigests::ReadOn(const std::string& name, File& file) {
  Part& part = file.part;
  size_t most = buffer_.size();
  if (ready_ != nullptr) {
    const uint64_t ready = std::max(ready_(name), part.bytes);
    most = std::min(most, static_cast<size_t>(ready - part.bytes));
    if (most == 0) return false;
  }
  const auto start = static_cast<off_t>(part.bytes);
  const ssize_t count = ::pread(file.fd.get(), buffer_.data(), most, start);
  if (count <= 0) return false;
  part.hash.Add(absl::string_view(buffer_.data(), static_cast<size_t>(count)));
  part.bytes += static_cast<uint64_t>(count);
  bytes_read_ += static_cast<uint64_t>(count);
  const uint64_t last = file.earlier.empty() ? 0 : file.earlier.back().bytes;
  if (part.bytes - last < kFallBackBytes) return true;
  file.earlier.push_back({.bytes = part.bytes, .hash = part.hash.Copy()});
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
  if (file.earlier.empty()) {
    file.part = Part();
    return;
  }
  file.part = {.bytes = file.earlier.back().bytes,
               .hash = file.earlier.back().hash.Copy()};
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
