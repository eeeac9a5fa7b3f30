#include "store/criu_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "store/criu_image_file.h"
#include "store/criu_pagemap.h"

namespace ckpt {

absl::Status WriteImageMemory(PendingImage& image, pid_t pid, uint64_t address,
                              absl::string_view bytes) {
  const int dir_fd = image.dir_fd();
  const uint64_t in_page = address % kPageBytes;
  if (in_page + bytes.size() > kPageBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        bytes.size(), " bytes at 0x", absl::Hex(address), " cross a page"));
  }
  const std::string map_name = absl::StrCat("pagemap-", pid, ".img");
  CKPT_ASSIGN_OR_RETURN(const PagePlace place,
                        FindPage(dir_fd, map_name, address - in_page));
  const std::string name = PagesFileName(place.pages_id);
  CKPT_ASSIGN_OR_RETURN(const UniqueFd pages, OpenAt(dir_fd, name, O_WRONLY));
  const auto offset = static_cast<off_t>(place.index * kPageBytes + in_page);
  image.Changed(name, static_cast<uint64_t>(offset));
  const ssize_t written =
      ::pwrite(pages.get(), bytes.data(), bytes.size(), offset);
  if (written < 0) return ErrnoToStatus(errno, "write", name);
  if (static_cast<size_t>(written) == bytes.size()) return absl::OkStatus();
  return CriuImageDamaged(name, "it cannot be written to");
}

}  // namespace ckpt
