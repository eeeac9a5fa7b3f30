#include "transfer/receiver.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/status.h"
#include "store/arriving_image.h"
#include "store/layout.h"
#include "transfer/arriving_files.h"
#include "transfer/ranges.h"

namespace ckpt::transfer {
namespace {

constexpr size_t kMaxIdBytes = 100;
constexpr size_t kMaxCgroupBytes = 2048;

absl::Status CheckAnnouncement(const v1::ImageAnnouncement& announcement) {
  const std::string& id = announcement.transfer_id();
  const bool good =
      !id.empty() && id.size() <= kMaxIdBytes &&
      std::all_of(id.begin(), id.end(), [](unsigned char c) {
        return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
      });
  if (!good) {
    return absl::InvalidArgumentError(
        "a transfer's id is 1 to 100 letters, digits and . _ - ; nothing was "
        "done");
  }
  const std::string& cgroup = announcement.cgroup();
  if (!cgroup.empty() &&
      (cgroup[0] != '/' || absl::StrContains(cgroup + "/", "/../"))) {
    return absl::InvalidArgumentError(
        "the group of an image is a path below its hierarchy, such as "
        "/jobs/a; nothing was done");
  }
  if (announcement.cgroup().size() > kMaxCgroupBytes ||
      announcement.manifest_sha256().size() > 32) {
    return absl::InvalidArgumentError(
        "the announcement of an image has a field that is too long; nothing "
        "was done");
  }
  return absl::OkStatus();
}

bool IsOf(const v1::ImageAnnouncement& announcement,
          const ArrivingFiles& files) {
  return files.announcement().transfer_id() == announcement.transfer_id() &&
         files.announcement().cgroup() == announcement.cgroup();
}

v1::ArrivedChunk HeadOf(const v1::ImageChunk& chunk) {
  v1::ArrivedChunk head;
  head.set_file(chunk.file());
  head.set_offset(chunk.offset());
  head.set_length(chunk.length());
  head.set_xxh3(chunk.xxh3());
  return head;
}

}  // namespace

Arrival::Arrival(std::shared_ptr<ArrivingFiles> files)
    : files_(std::move(files)) {
  if (files_ == nullptr) return;
  pages_ = std::make_unique<BlockWriter::Stream>(files_->writer());
}

Arrival::~Arrival() = default;

absl::Status Arrival::Add(const v1::ImageChunk& chunk, AlignedBytes* apart) {
  if (files_ == nullptr) {
    return absl::FailedPreconditionError(
        "a chunk of an image that is there already; it is refused");
  }
  const bool is_apart = apart != nullptr && !apart->empty();
  CKPT_ASSIGN_OR_RETURN(
      const ChunkDecoder::Piece piece,
      decoder_.Decode(chunk, is_apart ? absl::string_view(*apart)
                                      : absl::string_view(chunk.data())));
  CKPT_RETURN_IF_ERROR(FaultPoint("transfer.receive"));
  CKPT_RETURN_IF_ERROR(files_->Admit(chunk));
  // Holes are left out.
  const bool is_whole = piece.data.size() == 1 && piece.data[0].begin == 0 &&
                        piece.data[0].end == piece.bytes.size();
  if (!is_whole || piece.bytes.size() < BlockWriter::kLeastBytes ||
      !IsPagesFile(chunk.file())) {
    return WriteRuns(chunk, piece);
  }
  if (is_apart && piece.bytes.data() == apart->data()) {
    return pages_->Add(HeadOf(chunk), *apart);
  }
  copy_.assign(piece.bytes.data(), piece.bytes.size());
  return pages_->Add(HeadOf(chunk), copy_);
}

absl::Status Arrival::WriteRuns(const v1::ImageChunk& chunk,
                                const ChunkDecoder::Piece& piece) {
  CKPT_RETURN_IF_ERROR(files_->BeginWrite());
  const absl::Status written = [&]() -> absl::Status {
    if (open_name_ != chunk.file()) {
      open_name_.clear();
      CKPT_ASSIGN_OR_RETURN(open_file_,
                            OpenAt(files_->dir_fd(), chunk.file(),
                                   O_WRONLY | O_CREAT | O_NOFOLLOW, 0600));
      open_name_ = chunk.file();
    }
    for (const Run& run : piece.data) {
      CKPT_RETURN_IF_ERROR(WriteBytes(
          open_file_.get(), piece.bytes.substr(run.begin, run.end - run.begin),
          chunk.offset() + run.begin, chunk.file()));
    }
    return absl::OkStatus();
  }();
  const absl::Status noted = files_->EndWrite(HeadOf(chunk), written.ok());
  return written.ok() ? noted : written;
}

absl::Status Arrival::Flush() {
  return pages_ == nullptr ? absl::OkStatus() : pages_->Flush();
}

absl::StatusOr<v1::ArrivalResult> Arrival::Commit(absl::string_view manifest) {
  if (files_ == nullptr) {
    return absl::FailedPreconditionError(
        "the commit of an image that is there already; it is refused");
  }
  if (manifest.size() > kMaxManifestBytes) {
    return absl::InvalidArgumentError(
        "the manifest is longer than 3 MiB; the image is refused");
  }
  CKPT_RETURN_IF_ERROR(Flush());
  open_file_.Reset();
  open_name_.clear();
  return files_->Commit(manifest);
}

absl::Status Arrival::Discard() {
  if (files_ == nullptr) {
    return absl::FailedPreconditionError(
        "the image is there already, and is not discarded");
  }
  return files_->Discard();
}

bool Receiver::IsUnderWay(const v1::ImageAnnouncement& announcement) {
  std::shared_ptr<Name> name;
  {
    const absl::MutexLock lock(&mutex_);
    const auto known = names_.find(announcement.image());
    if (known == names_.end()) return false;
    name = known->second;
  }
  const absl::MutexLock lock(&name->mutex);
  const std::shared_ptr<ArrivingFiles> files = name->files.lock();
  return files != nullptr && IsOf(announcement, *files);
}

absl::StatusOr<std::shared_ptr<ArrivingFiles>> Receiver::FilesOf(
    const v1::ImageAnnouncement& announcement) {
  std::shared_ptr<Name> name;
  {
    const absl::MutexLock lock(&mutex_);
    std::erase_if(names_, [](const auto& entry) {
      return entry.second.use_count() == 1 && entry.second->files.expired();
    });
    std::shared_ptr<Name>& known = names_[announcement.image()];
    if (known == nullptr) known = std::make_shared<Name>();
    name = known;
  }
  // What has arrived before is read: others need not wait for that.
  const absl::MutexLock lock(&name->mutex);
  if (std::shared_ptr<ArrivingFiles> files = name->files.lock()) {
    if (IsOf(announcement, *files)) return files;
    return absl::UnavailableError(
        absl::StrCat("another transfer to the name ", announcement.image(),
                     " is under way; choose another name, or try later"));
  }
  CKPT_ASSIGN_OR_RETURN(std::unique_ptr<ArrivingImage> image,
                        ArrivingImage::Open(store_, announcement.image()));
  CKPT_ASSIGN_OR_RETURN(std::shared_ptr<ArrivingFiles> files,
                        ArrivingFiles::Open(std::move(image), announcement));
  name->files = files;
  return files;
}

absl::StatusOr<std::unique_ptr<Arrival>> Receiver::Open(
    const v1::ImageAnnouncement& announcement) {
  CKPT_RETURN_IF_ERROR(CheckAnnouncement(announcement));
  auto files = FilesOf(announcement);
  if (absl::IsAlreadyExists(files.status()) &&
      !announcement.manifest_sha256().empty()) {
    const auto image = store_.Open(announcement.image());
    if (image.ok() &&
        image->manifest().manifest_sha256() == announcement.manifest_sha256()) {
      auto there = absl::WrapUnique(new Arrival(nullptr));
      there->state_.set_committed(true);
      return there;
    }
  }
  CKPT_RETURN_IF_ERROR(files.status());
  auto arrival = absl::WrapUnique(new Arrival(*std::move(files)));
  if (!announcement.further_stream()) {
    ToProto(arrival->files_->Arrived(), arrival->state_.mutable_arrived());
  }
  return arrival;
}

}  // namespace ckpt::transfer
