// One of CRIU's image files: names, magic numbers, and the entries in it.
//
//   CKPT_ASSIGN_OR_RETURN(
//       const CriuImageFile file,
//       CriuImageFile::Read(dir_fd, "pstree.img", CriuMagic::kPstree));
//   CKPT_ASSIGN_OR_RETURN(std::vector<criu_images::Process> processes,
//                         file.ParseAll<criu_images::Process>());
//
// The format: a 32-bit magic number that all files share, another one for the
// type, then entries, each a 32-bit length and a protobuf message.  All numbers
// are little-endian.  inventory.img has only the second magic number; the files
// of pages have neither, they are pages and nothing else.
#ifndef CKPT_STORE_CRIU_IMAGE_FILE_H_
#define CKPT_STORE_CRIU_IMAGE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ckpt {

// CRIU: criu/include/magic.h
inline constexpr uint32_t kCriuCommonMagic = 0x54564319;
inline constexpr uint32_t kCriuServiceMagic = 0x55105940;  // stats-dump

enum class CriuMagic : uint32_t {
  kCore = 0x55053847,
  kFdInfo = 0x56213732,
  kFiles = 0x56303138,
  kFs = 0x51403912,
  kIds = 0x54432030,
  kInventory = 0x58313116,
  kIpcShm = 0x46283044,
  kMemFdInode = 0x48453499,
  kMm = 0x57492820,
  kPagemap = 0x56084025,
  kPstree = 0x50273030,
  kRemapPath = 0x59133954,
  kStats = 0x57093306,
};

// Thread-compatible.
class CriuImageFile {
 public:
  // Reads and splits a file.
  // DataLoss: it is missing, of another type, or cut off; the message names it.
  static absl::StatusOr<CriuImageFile> Read(int dir_fd, const std::string& name,
                                            CriuMagic magic);

  // As Read(), but a file that is missing has no entries.  CRIU does not write
  // a file of some types when it would have none.
  static absl::StatusOr<CriuImageFile> ReadIfThere(int dir_fd,
                                                   const std::string& name,
                                                   CriuMagic magic);

  const std::string& name() const { return name_; }
  bool there() const { return !data_.empty(); }  // false: ReadIfThere() only
  size_t entry_count() const { return entries_.size(); }
  // The protobuf message of an entry; valid as long as this object.
  absl::string_view entry(size_t index) const;
  // The whole file as it would be with these entries.
  std::string WithEntries(const std::vector<std::string>& entries) const;

  // DataLoss: the entry is no such message, or (One) there is none.
  template <typename Message>
  absl::StatusOr<Message> Parse(size_t index) const;
  template <typename Message>
  absl::StatusOr<Message> ParseOne() const;
  template <typename Message>
  absl::StatusOr<std::vector<Message>> ParseAll() const;

 private:
  struct Entry {
    size_t start;
    size_t size;
  };

  CriuImageFile(std::string name, std::string data)
      : name_(std::move(name)), data_(std::move(data)) {}
  static absl::StatusOr<CriuImageFile> Split(std::string name, std::string data,
                                             CriuMagic magic);

  std::string name_;
  std::string data_;
  size_t head_bytes_ = 0;
  std::vector<Entry> entries_;
};

// "image file NAME: WHAT"
absl::Status CriuImageDamaged(absl::string_view name, absl::string_view what);

template <typename Message>
absl::StatusOr<Message> CriuImageFile::Parse(size_t index) const {
  const absl::string_view bytes = entry(index);
  Message message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return CriuImageDamaged(name_, "an entry is damaged");
  }
  return message;
}

template <typename Message>
absl::StatusOr<Message> CriuImageFile::ParseOne() const {
  if (entries_.empty()) return CriuImageDamaged(name_, "it has no entry");
  return Parse<Message>(0);
}

template <typename Message>
absl::StatusOr<std::vector<Message>> CriuImageFile::ParseAll() const {
  std::vector<Message> messages;
  messages.reserve(entries_.size());
  for (size_t i = 0; i < entries_.size(); ++i) {
    absl::StatusOr<Message> message = Parse<Message>(i);
    if (!message.ok()) return message.status();
    messages.push_back(*std::move(message));
  }
  return messages;
}

}  // namespace ckpt

#endif  // CKPT_STORE_CRIU_IMAGE_FILE_H_
