#include "transfer/arriving_files.h"

#include <fcntl.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "store/manifest.h"
#include "transfer/chunk.h"

namespace ckpt::transfer {
namespace {

// How much a crash of the machine may cost.
constexpr uint64_t kSyncBytes = uint64_t{256} << 20;

// What arrives of a file is sent on its way to the disk in parts of so much, so
// that the commit does not wait for all of it.
constexpr uint64_t kWritebackBytes = 16 << 20;

// Only a hint: fsync() will report what goes wrong.
void StartWriteback(int dir_fd, const std::string& file, uint64_t begin,
                    uint64_t end) {
  const auto fd = OpenAt(dir_fd, file, O_RDONLY | O_NOFOLLOW);
  if (!fd.ok()) return;
  ::sync_file_range(fd->get(), static_cast<off_t>(begin),
                    static_cast<off_t>(end - begin), SYNC_FILE_RANGE_WRITE);
}

// The bounds of what arrives are those of what is listed, too: all of it, holes
// included, is going to be read.
absl::Status CheckSizes(const v1::Manifest& manifest,
                        const v1::ImageAnnouncement& announcement) {
  uint64_t left = announcement.bytes_total() != 0 ? announcement.bytes_total()
                                                  : kMaxImageBytes;
  if (static_cast<size_t>(manifest.files_size()) > kMaxFiles) {
    return absl::InvalidArgumentError(
        absl::StrCat("the manifest of image ", announcement.image(),
                     " lists more than ", kMaxFiles, " files; it is refused"));
  }
  for (const v1::ManifestFile& file : manifest.files()) {
    if (file.size_bytes() > std::min(left, kMaxFileBytes)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the manifest of image ", announcement.image(), " gives file '",
          absl::CHexEscape(file.name().substr(0, 200)), "' ", file.size_bytes(),
          " bytes: more than there may be, or than were announced; it is "
          "refused"));
    }
    left -= file.size_bytes();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<ArrivingFiles>> ArrivingFiles::Open(
    std::unique_ptr<ArrivingImage> image,
    const v1::ImageAnnouncement& announcement) {
  std::shared_ptr<ArrivingFiles> files(new ArrivingFiles(std::move(image)));
  files->announcement_ = announcement;
  files->writer_ = std::make_unique<BlockWriter>(
      files->dir_fd(),
      BlockWriter::Options{.past_cache = !announcement.restored_soon()},
      BlockWriter::Notes{
          .begin = [self = files.get()] { return self->BeginWrite(); },
          .end = [self = files.get()](
                     const v1::ArrivedChunk& piece,
                     bool written) { return self->EndWrite(piece, written); }});
  const absl::MutexLock lock(&files->mutex_);
  CKPT_ASSIGN_OR_RETURN(absl::optional<ArrivalLog::Found> found,
                        files->log_.Load());
  if (found.has_value() && found->begin.cgroup() != announcement.cgroup()) {
    return absl::AlreadyExistsError(
        absl::StrCat("an image ", announcement.image(),
                     " of another group has arrived in "
                     "part: choose another name, or wait for a day"));
  }
  if (found.has_value() &&
      found->begin.transfer_id() == announcement.transfer_id()) {
    files->arrived_ = std::move(found->arrived);
    files->sums_ = std::move(found->sums);
    for (const auto& [name, set] : files->arrived_) {
      files->arrived_bytes_ += set.total();
      files->ranges_ += set.ranges().size();
    }
    return files;
  }
  CKPT_RETURN_IF_ERROR(files->log_.Begin(announcement));
  return files;
}

ArrivingFiles::ArrivingFiles(std::unique_ptr<ArrivingImage> image)
    : image_(std::move(image)), log_(image_->dir_fd()) {}

ArrivingFiles::~ArrivingFiles() {
  writer_ = nullptr;
  const absl::MutexLock lock(&mutex_);
  // Only what a crash of the machine would cost.
  if (!closed_) log_.Sync().IgnoreError();
}

FileRangeSets ArrivingFiles::Arrived() {
  const absl::MutexLock lock(&mutex_);
  return arrived_;
}

absl::Status ArrivingFiles::Late() const {
  return absl::AbortedError(absl::StrCat("the transfer of image ",
                                         announcement_.image(),
                                         " has ended; this stream is late"));
}

absl::Status ArrivingFiles::Admit(const v1::ImageChunk& chunk) {
  const absl::MutexLock lock(&mutex_);
  if (closed_) return Late();
  if (arrived_.size() >= kMaxFiles && arrived_.count(chunk.file()) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("image ", announcement_.image(), " has more than ",
                     kMaxFiles, " files; it is refused"));
  }
  return absl::OkStatus();
}

absl::Status ArrivingFiles::BeginWrite() {
  const absl::MutexLock lock(&mutex_);
  if (closed_) return Late();
  ++writing_;
  return absl::OkStatus();
}

absl::Status ArrivingFiles::EndWrite(const v1::ArrivedChunk& piece,
                                     bool written) {
  Dirty to_write;
  CKPT_RETURN_IF_ERROR(Note(piece, written, &to_write));
  if (to_write.bytes != 0) {
    StartWriteback(dir_fd(), piece.file(), to_write.begin, to_write.end);
  }
  return absl::OkStatus();
}

absl::Status ArrivingFiles::Note(const v1::ArrivedChunk& piece, bool written,
                                 Dirty* to_write) {
  const uint64_t begin = piece.offset();
  const uint64_t end = begin + piece.length();
  const absl::MutexLock lock(&mutex_);
  --writing_;
  sums_.Wrote(piece.file(), begin, end,
              written ? std::optional<uint64_t>(piece.xxh3()) : std::nullopt);
  if (!written) return absl::OkStatus();
  RangeSet& set = arrived_[piece.file()];
  arrived_bytes_ -= set.total();
  ranges_ -= set.ranges().size();
  set.Add(begin, end);
  arrived_bytes_ += set.total();
  ranges_ += set.ranges().size();
  ++pieces_;
  CKPT_RETURN_IF_ERROR(CheckBounds());
  CKPT_RETURN_IF_ERROR(log_.Add(piece));
  Dirty& dirty = dirty_[piece.file()];
  dirty.begin = dirty.bytes == 0 ? begin : std::min(dirty.begin, begin);
  dirty.end = std::max(dirty.end, end);
  dirty.bytes += piece.length();
  if (dirty.bytes >= kWritebackBytes) *to_write = std::exchange(dirty, Dirty());
  if (arrived_bytes_ < synced_bytes_ + kSyncBytes) return absl::OkStatus();
  synced_bytes_ = arrived_bytes_;
  return log_.Sync();
}

absl::Status ArrivingFiles::CheckBounds() const {
  if (announcement_.bytes_total() != 0 &&
      arrived_bytes_ > announcement_.bytes_total()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "more bytes of image ", announcement_.image(), " than the ",
        announcement_.bytes_total(), " that were announced; it is refused"));
  }
  // A page for each piece is what the slowest of growing images has.
  if (ranges_ > kMaxRanges ||
      pieces_ > kMaxRanges + arrived_bytes_ / kPageBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("image ", announcement_.image(), " comes in more pieces ",
                     "than any image has; it is refused"));
  }
  return absl::OkStatus();
}

absl::Status ArrivingFiles::Close() {
  const absl::MutexLock lock(&mutex_);
  if (closed_) {
    return absl::AbortedError(absl::StrCat(
        "the transfer of image ", announcement_.image(), " has ended already"));
  }
  closed_ = true;
  mutex_.Await(absl::Condition(
      +[](int* writing) { return *writing == 0; }, &writing_));
  return absl::OkStatus();
}

absl::StatusOr<v1::ArrivalResult> ArrivingFiles::Commit(
    absl::string_view manifest) {
  CKPT_RETURN_IF_ERROR(Close());
  // Of another stream, too: that is no reason to remove what has arrived.
  CKPT_RETURN_IF_ERROR(writer_->status());
  const auto decoded = DecodeManifest(manifest);
  CKPT_RETURN_IF_ERROR(decoded.status());
  if (decoded->job().cgroup() != announcement_.cgroup()) {
    return absl::PermissionDeniedError(
        absl::StrCat("image ", announcement_.image(), " is of group '",
                     decoded->job().cgroup(), "', and was announced as of '",
                     announcement_.cgroup(), "'; it is refused"));
  }
  CKPT_RETURN_IF_ERROR(CheckSizes(*decoded, announcement_));
  const ArrivingSums sums = [this] {
    const absl::MutexLock lock(&mutex_);
    return std::move(sums_);
  }();
  auto committed = image_->Commit(manifest, &sums);
  if (absl::IsDataLoss(committed.status())) {
    return AppendError(committed.status(), "removing what has arrived",
                       image_->Remove());
  }
  CKPT_RETURN_IF_ERROR(committed.status());
  v1::ArrivalResult result;
  result.set_image(image_->final_path());
  result.set_image_id(committed->image_id());
  for (const v1::ManifestFile& file : committed->files()) {
    result.set_image_bytes(result.image_bytes() + file.size_bytes());
  }
  return result;
}

absl::Status ArrivingFiles::Discard() {
  CKPT_RETURN_IF_ERROR(Close());
  return image_->Remove();
}

}  // namespace ckpt::transfer
