#include "store/criu_pagemap.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "store/criu_image_file.h"
#include "store/criu_images.pb.h"

namespace ckpt {
namespace {

// Bits of PagemapEntry.flags.  CRIU: criu/include/pagemap.h
constexpr uint32_t kInParent = 1 << 0;
constexpr uint32_t kPresent = 1 << 2;

// Images of old have no flags.
bool IsPresent(const criu_images::PagemapEntry& entry) {
  if (entry.in_parent()) return false;
  if (!entry.has_flags()) return true;
  return (entry.flags() & kPresent) != 0 && (entry.flags() & kInParent) == 0;
}

uint64_t PagesOf(const criu_images::PagemapEntry& entry) {
  return entry.has_nr_pages() ? entry.nr_pages() : entry.nr_pages_32();
}

absl::StatusOr<uint32_t> PagesId(const CriuImageFile& file) {
  CKPT_ASSIGN_OR_RETURN(const criu_images::PagemapHead head,
                        file.ParseOne<criu_images::PagemapHead>());
  if (head.has_pages_id()) return head.pages_id();
  return CriuImageDamaged(file.name(), "it does not say where its pages are");
}

}  // namespace

absl::StatusOr<PageMap> ReadPageMap(int dir_fd, const std::string& name) {
  CKPT_ASSIGN_OR_RETURN(const CriuImageFile file,
                        CriuImageFile::Read(dir_fd, name, CriuMagic::kPagemap));
  PageMap map;
  CKPT_ASSIGN_OR_RETURN(map.pages_id, PagesId(file));
  for (size_t i = 1; i < file.entry_count(); ++i) {
    CKPT_ASSIGN_OR_RETURN(const criu_images::PagemapEntry entry,
                          file.Parse<criu_images::PagemapEntry>(i));
    (IsPresent(entry) ? map.present_pages : map.absent_pages) += PagesOf(entry);
  }
  return map;
}

absl::StatusOr<PagePlace> FindPage(int dir_fd, const std::string& name,
                                   uint64_t address) {
  CKPT_ASSIGN_OR_RETURN(const CriuImageFile file,
                        CriuImageFile::Read(dir_fd, name, CriuMagic::kPagemap));
  PagePlace place;
  CKPT_ASSIGN_OR_RETURN(place.pages_id, PagesId(file));
  for (size_t i = 1; i < file.entry_count(); ++i) {
    CKPT_ASSIGN_OR_RETURN(const criu_images::PagemapEntry entry,
                          file.Parse<criu_images::PagemapEntry>(i));
    if (!IsPresent(entry)) continue;
    if (address >= entry.vaddr() &&
        address - entry.vaddr() < PagesOf(entry) * kPageBytes) {
      place.index += (address - entry.vaddr()) / kPageBytes;
      return place;
    }
    place.index += PagesOf(entry);
  }
  return CriuImageDamaged(
      name, absl::StrCat("it lacks the page at 0x", absl::Hex(address)));
}

std::string PagesFileName(uint32_t pages_id) {
  return absl::StrCat("pages-", pages_id, ".img");
}

}  // namespace ckpt
