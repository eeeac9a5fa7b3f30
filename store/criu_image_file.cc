#include "store/criu_image_file.h"

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"

namespace ckpt {
namespace {

constexpr size_t kWordBytes = 4;

uint32_t WordAt(absl::string_view data, size_t position) {
  uint32_t word = 0;
  for (size_t i = 0; i < kWordBytes; ++i) {
    word |= uint32_t{static_cast<uint8_t>(data[position + i])} << (8 * i);
  }
  return word;
}

std::string WordBytes(uint32_t word) {
  std::string bytes;
  for (size_t i = 0; i < kWordBytes; ++i) {
    bytes += static_cast<char>(word >> (8 * i));
  }
  return bytes;
}

std::string HeadOf(CriuMagic magic) {
  std::string own = WordBytes(static_cast<uint32_t>(magic));
  switch (magic) {
    case CriuMagic::kInventory:
      return own;
    case CriuMagic::kStats:
      return WordBytes(kCriuServiceMagic) + own;
    default:
      return WordBytes(kCriuCommonMagic) + own;
  }
}

}  // namespace

absl::Status CriuImageDamaged(absl::string_view name, absl::string_view what) {
  return absl::DataLossError(absl::StrCat("image file ", name, ": ", what));
}

absl::StatusOr<CriuImageFile> CriuImageFile::Read(int dir_fd,
                                                  const std::string& name,
                                                  CriuMagic magic) {
  absl::StatusOr<std::string> data = ReadFileAt(dir_fd, name);
  if (absl::IsNotFound(data.status())) return CriuImageDamaged(name, "missing");
  if (!data.ok()) return data.status();
  return Split(name, *std::move(data), magic);
}

absl::StatusOr<CriuImageFile> CriuImageFile::ReadIfThere(
    int dir_fd, const std::string& name, CriuMagic magic) {
  absl::StatusOr<std::string> data = ReadFileAt(dir_fd, name);
  if (absl::IsNotFound(data.status())) return CriuImageFile(name, "");
  if (!data.ok()) return data.status();
  return Split(name, *std::move(data), magic);
}

absl::StatusOr<CriuImageFile> CriuImageFile::Split(std::string name,
                                                   std::string data,
                                                   CriuMagic magic) {
  CriuImageFile file(std::move(name), std::move(data));
  const std::string head = HeadOf(magic);
  file.head_bytes_ = head.size();
  const absl::string_view bytes = file.data_;
  if (bytes.substr(0, head.size()) != head) {
    return CriuImageDamaged(file.name_, "it does not begin as it should");
  }
  size_t position = head.size();
  while (position < bytes.size()) {
    const size_t left = bytes.size() - position;
    if (left < kWordBytes || left - kWordBytes < WordAt(bytes, position)) {
      return CriuImageDamaged(file.name_, "it is cut off");
    }
    const size_t size = WordAt(bytes, position);
    file.entries_.push_back({position + kWordBytes, size});
    position += kWordBytes + size;
  }
  return file;
}

absl::string_view CriuImageFile::entry(size_t index) const {
  return absl::string_view(data_).substr(entries_[index].start,
                                         entries_[index].size);
}

std::string CriuImageFile::WithEntries(
    const std::vector<std::string>& entries) const {
  std::string data = data_.substr(0, head_bytes_);
  for (const std::string& entry : entries) {
    absl::StrAppend(&data, WordBytes(static_cast<uint32_t>(entry.size())),
                    entry);
  }
  return data;
}

}  // namespace ckpt
