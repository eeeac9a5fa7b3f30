#include "tests/fuzz/files.h"

#include <fcntl.h>

#include <cstdint>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "store/criu_image_file.h"
#include "store/criu_images.pb.h"
#include "store/layout.h"
#include "tests/fuzz/target.h"

namespace ckpt::fuzz {
namespace {

using google::protobuf::Message;

// By the beginning of its name.
struct Kind {
  const char* prefix;
  CriuMagic magic;
  const Message& entry;
};

const std::vector<Kind>& Kinds() {
  using namespace criu_images;  // NOLINT(google-build-using-namespace)
  static const auto& kinds = *new std::vector<Kind>{
      {"core-", CriuMagic::kCore, Core::default_instance()},
      {"fdinfo-", CriuMagic::kFdInfo, FdInfo::default_instance()},
      {"files.img", CriuMagic::kFiles, FileEntry::default_instance()},
      {"fs-", CriuMagic::kFs, Fs::default_instance()},
      {"ids-", CriuMagic::kIds, Ids::default_instance()},
      {"inventory.img", CriuMagic::kInventory, Inventory::default_instance()},
      {"ipcns-shm-", CriuMagic::kIpcShm, IpcShm::default_instance()},
      {"memfd.img", CriuMagic::kMemFdInode, MemFdInode::default_instance()},
      {"mm-", CriuMagic::kMm, Mm::default_instance()},
      {"pagemap-", CriuMagic::kPagemap, PagemapEntry::default_instance()},
      {"pstree.img", CriuMagic::kPstree, Process::default_instance()},
      {"remap-fpath.img", CriuMagic::kRemapPath, RemapPath::default_instance()},
      {"stats-dump", CriuMagic::kStats, Stats::default_instance()},
  };
  return kinds;
}

const Kind* KindOf(absl::string_view name) {
  for (const Kind& kind : Kinds()) {
    if (absl::StartsWith(name, kind.prefix)) return &kind;
  }
  return nullptr;
}

std::string Word(uint32_t word) {
  std::string bytes;
  for (int shift = 0; shift < 32; shift += 8) {
    bytes += static_cast<char>(word >> shift);
  }
  return bytes;
}

std::string BytesOf(const File& file) {
  const Kind* const kind = KindOf(file.name());
  if (file.entries().empty() || kind == nullptr) return file.data();
  std::string bytes;
  if (kind->magic == CriuMagic::kStats) {
    bytes = Word(kCriuServiceMagic);
  } else if (kind->magic != CriuMagic::kInventory) {
    bytes = Word(kCriuCommonMagic);
  }
  bytes += Word(static_cast<uint32_t>(kind->magic));
  for (const auto& entry : file.entries()) {
    absl::StrAppend(&bytes, Word(static_cast<uint32_t>(entry.value().size())),
                    entry.value());
  }
  return bytes;
}

}  // namespace

void WriteFile(const std::string& directory, const std::string& name,
               absl::string_view bytes) {
  const auto fd = OpenAt(AT_FDCWD, absl::StrCat(directory, "/", name),
                         O_WRONLY | O_CREAT | O_TRUNC, 0600);
  Require(fd.ok() && WriteAll(fd->get(), bytes, name).ok(),
          "a file can be written");
}

void WriteFiles(const std::string& directory, const FilesInput& input) {
  for (const File& file : input.files()) {
    // The record of what has arrived, too.
    const bool hidden = file.name() == ".arrival-record";
    if (hidden || IsPlainName(file.name())) {
      WriteFile(directory, file.name(), BytesOf(file));
    }
  }
}

const Message* TypeOfFile(const Message& file) {
  const Kind* const kind = KindOf(static_cast<const File&>(file).name());
  return kind == nullptr ? nullptr : &kind->entry;
}

std::vector<std::string> CriuWords() {
  std::vector<std::string> words = {"pages-1.img", "ckpt-manifest.pb", "", "/"};
  for (const Kind& kind : Kinds()) {
    const bool whole = absl::EndsWith(kind.prefix, ".img") ||
                       absl::StartsWith(kind.prefix, "stats");
    words.push_back(whole ? kind.prefix : absl::StrCat(kind.prefix, "7.img"));
  }
  return words;
}

}  // namespace ckpt::fuzz
