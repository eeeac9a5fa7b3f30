#include "base/build_id.h"

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace ckpt {
namespace {

// Notes of programs are some hundred bytes; more is no build-id.
constexpr size_t kMaxNotes = 64 << 10;
constexpr size_t kMaxSegments = 512;
constexpr absl::string_view kGnu("GNU", 4);

size_t RoundUp(size_t size) { return (size + 3) & ~size_t{3}; }

bool ReadAt(int fd, void* buffer, size_t size, uint64_t offset) {
  return ::pread(fd, buffer, size, static_cast<off_t>(offset)) ==
         static_cast<ssize_t>(size);
}

std::string FindInNotes(absl::string_view notes) {
  Elf64_Nhdr header;
  while (notes.size() >= sizeof(header)) {
    std::memcpy(&header, notes.data(), sizeof(header));
    notes.remove_prefix(sizeof(header));
    const size_t name = RoundUp(header.n_namesz);
    const size_t value = RoundUp(header.n_descsz);
    if (name > notes.size() || value > notes.size() - name) return "";
    if (header.n_type == NT_GNU_BUILD_ID &&
        notes.substr(0, header.n_namesz) == kGnu) {
      return absl::BytesToHexString(notes.substr(name, header.n_descsz));
    }
    notes.remove_prefix(name + value);
  }
  return "";
}

}  // namespace

std::string ReadBuildId(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  Elf64_Ehdr header;
  if (!fd.ok() || !ReadAt(fd.get(), &header, sizeof(header), 0) ||
      std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_phentsize != sizeof(Elf64_Phdr) ||
      header.e_phnum > kMaxSegments) {
    return "";
  }
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  if (!ReadAt(fd.get(), segments.data(), segments.size() * sizeof(Elf64_Phdr),
              header.e_phoff)) {
    return "";
  }
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_NOTE || segment.p_filesz > kMaxNotes) continue;
    std::string notes(segment.p_filesz, '\0');
    if (!ReadAt(fd.get(), notes.data(), notes.size(), segment.p_offset)) {
      continue;
    }
    std::string id = FindInNotes(notes);
    if (!id.empty()) return id;
  }
  return "";
}

}  // namespace ckpt
