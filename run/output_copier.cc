#include "run/output_copier.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/file.h"

namespace ckpt::run {

OutputCopier::OutputCopier(std::string path, off_t offset, int to_fd)
    : path_(std::move(path)), offset_(offset), to_fd_(to_fd) {}

void OutputCopier::Copy() {
  if (to_fd_ < 0) return;
  if (!from_.ok()) {
    auto opened = OpenAt(AT_FDCWD, path_, O_RDONLY);
    if (!opened.ok()) return;
    from_ = *std::move(opened);
  }
  struct stat info = {};
  if (::fstat(from_.get(), &info) != 0) return;
  offset_ = std::min(offset_, info.st_size);
  std::vector<char> buffer(1 << 16);
  while (true) {
    const ssize_t count =
        ::pread(from_.get(), buffer.data(), buffer.size(), offset_);
    if (count <= 0) return;
    const absl::string_view data(buffer.data(), static_cast<size_t>(count));
    if (!WriteAll(to_fd_, data, "the job's output").ok()) {
      to_fd_ = -1;
      return;
    }
    offset_ += count;
  }
}

}  // namespace ckpt::run
