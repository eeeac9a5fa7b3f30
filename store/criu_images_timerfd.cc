// FixPeriodicTimerfds() of criu_images.h.
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "store/criu_image_file.h"
#include "store/criu_images.h"
#include "store/criu_images.pb.h"

namespace ckpt {
namespace {

constexpr char kFilesImage[] = "files.img";
constexpr char kNewFilesImage[] = "files.img.new";

bool NeedsFix(const criu_images::FileEntry& entry) {
  const criu_images::TimerFd& timer = entry.tfd();
  return entry.has_tfd() && timer.ticks() > 0 && timer.vsec() == 0 &&
         timer.vnsec() == 0 && (timer.isec() > 0 || timer.insec() > 0);
}

absl::Status Write(int dir_fd, const std::string& data) {
  CKPT_ASSIGN_OR_RETURN(
      const UniqueFd fd,
      OpenAt(dir_fd, kNewFilesImage, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  CKPT_RETURN_IF_ERROR(WriteAll(fd.get(), data, kNewFilesImage));
  if (::renameat(dir_fd, kNewFilesImage, dir_fd, kFilesImage) != 0) {
    return ErrnoToStatus(errno, "rename", kNewFilesImage);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int> FixPeriodicTimerfds(int dir_fd) {
  CKPT_ASSIGN_OR_RETURN(
      const CriuImageFile file,
      CriuImageFile::Read(dir_fd, kFilesImage, CriuMagic::kFiles));
  std::vector<std::string> entries;
  int fixed = 0;
  for (size_t i = 0; i < file.entry_count(); ++i) {
    CKPT_ASSIGN_OR_RETURN(criu_images::FileEntry entry,
                          file.Parse<criu_images::FileEntry>(i));
    if (!NeedsFix(entry)) {
      entries.emplace_back(file.entry(i));
      continue;
    }
    criu_images::TimerFd& timer = *entry.mutable_tfd();
    timer.set_vsec(timer.isec());
    timer.set_vnsec(timer.insec());
    entries.push_back(entry.SerializeAsString());
    ++fixed;
  }
  if (fixed == 0) return 0;
  const absl::Status written = Write(dir_fd, file.WithEntries(entries));
  if (!written.ok()) {
    ::unlinkat(dir_fd, kNewFilesImage, 0);
    return written;
  }
  return fixed;
}

}  // namespace ckpt
