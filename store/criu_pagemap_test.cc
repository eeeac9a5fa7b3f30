#include "store/criu_pagemap.h"

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "store/criu_image_file.h"
#include "store/criu_images.pb.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

constexpr uint32_t kParent = 1;
constexpr uint32_t kLazy = 2;
constexpr uint32_t kPresent = 4;

class PageMapTest : public testing::Test {
 protected:
  // The page map of one entry.
  absl::StatusOr<PageMap> Read(const criu_images::PagemapEntry& entry) {
    criu_images::PagemapHead head;
    head.set_pages_id(5);
    WriteCriuFile(dir_.fd(), "pagemap-7.img", CriuMagic::kPagemap,
                  {&head, &entry});
    return ReadPageMap(dir_.fd(), "pagemap-7.img");
  }

  static criu_images::PagemapEntry Entry(uint32_t flags) {
    criu_images::PagemapEntry entry;
    entry.set_nr_pages_32(3);
    entry.set_flags(flags);
    return entry;
  }

  const TempDirectory dir_;
};

TEST_F(PageMapTest, PageIsFoundAfterThoseThatAreInTheFile) {
  criu_images::PagemapHead head;
  head.set_pages_id(5);
  criu_images::PagemapEntry first = Entry(kPresent);
  first.set_vaddr(0x10000);
  criu_images::PagemapEntry absent = Entry(kParent);
  absent.set_vaddr(0x20000);
  criu_images::PagemapEntry second = Entry(kPresent | kLazy);
  second.set_vaddr(0x30000);
  WriteCriuFile(dir_.fd(), "pagemap-7.img", CriuMagic::kPagemap,
                {&head, &first, &absent, &second});

  const auto place = FindPage(dir_.fd(), "pagemap-7.img", 0x32000);
  ASSERT_TRUE(place.ok()) << place.status();
  EXPECT_EQ(place->pages_id, 5U);
  EXPECT_EQ(place->index, 5U);
  for (const uint64_t address : {0x20000, 0x33000, 0xf000}) {
    EXPECT_EQ(FindPage(dir_.fd(), "pagemap-7.img", address).status().code(),
              absl::StatusCode::kDataLoss);
  }
}

TEST_F(PageMapTest, PresentPagesAreCounted) {
  const auto map = Read(Entry(kPresent));
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_EQ(map->pages_id, 5U);
  EXPECT_EQ(map->present_pages, 3U);
  EXPECT_EQ(map->absent_pages, 0U);
}

TEST_F(PageMapTest, PagesThatCouldBeLazyAndArePresentCount) {
  EXPECT_EQ(Read(Entry(kPresent | kLazy))->present_pages, 3U);
}

TEST_F(PageMapTest, PagesOfTheParentAndLazyOnesAreAbsent) {
  EXPECT_EQ(Read(Entry(kParent))->absent_pages, 3U);
  EXPECT_EQ(Read(Entry(kLazy))->absent_pages, 3U);
  criu_images::PagemapEntry old;
  old.set_nr_pages_32(3);
  old.set_in_parent(true);
  EXPECT_EQ(Read(old)->absent_pages, 3U);
}

TEST_F(PageMapTest, EntryWithoutFlagsIsPresent) {
  criu_images::PagemapEntry old;
  old.set_nr_pages_32(3);
  EXPECT_EQ(Read(old)->present_pages, 3U);
}

TEST_F(PageMapTest, LargeCountOfALaterCriuWins) {
  criu_images::PagemapEntry entry = Entry(kPresent);
  entry.set_nr_pages_32(0);
  entry.set_nr_pages(uint64_t{1} << 33);
  EXPECT_EQ(Read(entry)->present_pages, uint64_t{1} << 33);
}

TEST_F(PageMapTest, MapWithoutHeadIsDataLoss) {
  WriteCriuFile(dir_.fd(), "pagemap-7.img", CriuMagic::kPagemap, {});
  EXPECT_EQ(ReadPageMap(dir_.fd(), "pagemap-7.img").status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace ckpt
