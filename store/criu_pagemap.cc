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

}  // namespace

absl::StatusOr<PageMap> ReadPageMap(int dir_fd, const std::string& name) {
  CKPT_ASSIGN_OR_RETURN(const CriuImageFile file,
                        CriuImageFile::Read(dir_fd, name, CriuMagic::kPagemap));
  CKPT_ASSIGN_OR_RETURN(const criu_images::PagemapHead head,
                        file.ParseOne<criu_images::PagemapHead>());
  if (!head.has_pages_id()) {
    return CriuImageDamaged(name, "it does not say where its pages are");
  }
  PageMap map;
  map.pages_id = head.pages_id();
  for (size_t i = 1; i < file.entry_count(); ++i) {
    CKPT_ASSIGN_OR_RETURN(const criu_images::PagemapEntry entry,
                          file.Parse<criu_images::PagemapEntry>(i));
    const uint64_t pages =
        entry.has_nr_pages() ? entry.nr_pages() : entry.nr_pages_32();
    (IsPresent(entry) ? map.present_pages : map.absent_pages) += pages;
  }
  return map;
}

std::string PagesFileName(uint32_t pages_id) {
  return absl::StrCat("pages-", pages_id, ".img");
}

}  // namespace ckpt
