#include "store/criu_memory.h"

#include <memory>
#include <string>
#include <utility>

#include "base/file.h"
#include "gtest/gtest.h"
#include "store/criu_image_file.h"
#include "store/criu_images.pb.h"
#include "store/criu_pagemap.h"
#include "store/image_store.h"
#include "store/pending_image.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

constexpr uint64_t kStart = 0x7000;

class CriuMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    auto image = ImageStore(dir_.path()).Begin("image");
    ASSERT_TRUE(image.ok()) << image.status();
    image_ = *std::move(image);
    criu_images::PagemapHead head;
    head.set_pages_id(1);
    criu_images::PagemapEntry entry;
    entry.set_vaddr(kStart);
    entry.set_nr_pages_32(2);
    WriteCriuFile(image_->dir_fd(), "pagemap-42.img", CriuMagic::kPagemap,
                  {&head, &entry});
    WriteFile(image_->dir_fd(), "pages-1.img",
              std::string(2 * kPageBytes, '.'));
  }

  const TempDirectory dir_;
  std::unique_ptr<PendingImage> image_;
};

TEST_F(CriuMemoryTest, BytesAreWrittenAtTheirPlaceOnly) {
  EXPECT_EQ(WriteImageMemory(*image_, 42, kStart + kPageBytes + 16, "word"),
            absl::OkStatus());

  std::string wanted(2 * kPageBytes, '.');
  wanted.replace(kPageBytes + 16, 4, "word");
  EXPECT_EQ(*ReadFileAt(image_->dir_fd(), "pages-1.img"), wanted);
}

TEST_F(CriuMemoryTest, BytesAcrossAPageAreRefused) {
  EXPECT_EQ(
      WriteImageMemory(*image_, 42, kStart + kPageBytes - 2, "word").code(),
      absl::StatusCode::kInvalidArgument);
}

TEST_F(CriuMemoryTest, PageThatIsNotThereIsDataLoss) {
  EXPECT_EQ(WriteImageMemory(*image_, 42, 0x1000, "word").code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(CriuMemoryTest, ProcessThatIsNotThereIsDataLoss) {
  EXPECT_EQ(WriteImageMemory(*image_, 43, kStart, "word").code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace ckpt
