#include "store/criu_image_file.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "store/criu_images.pb.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

class CriuImageFileTest : public testing::Test {
 protected:
  void SetUp() override {
    criu_images::Fs first;
    first.set_cwd_id(3);
    criu_images::Fs second;
    second.set_root_id(4);
    WriteCriuFile(dir_.fd(), "fs-7.img", CriuMagic::kFs, {&first, &second});
  }

  const TempDirectory dir_;
};

TEST_F(CriuImageFileTest, BytesAreThoseOfCriu) {
  const std::string bytes = ReadBack(dir_.fd(), "fs-7.img");
  EXPECT_EQ(bytes, std::string("\x19\x43\x56\x54\x12\x39\x40\x51"
                               "\x02\0\0\0\x08\x03\x02\0\0\0\x10\x04",
                               20));
}

TEST_F(CriuImageFileTest, EntriesComeInOrder) {
  const auto file = CriuImageFile::Read(dir_.fd(), "fs-7.img", CriuMagic::kFs);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->entry_count(), 2U);
  const auto all = file->ParseAll<criu_images::Fs>();
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ((*all)[0].cwd_id(), 3U);
  EXPECT_EQ((*all)[1].root_id(), 4U);
  EXPECT_EQ(file->ParseOne<criu_images::Fs>()->cwd_id(), 3U);
}

TEST_F(CriuImageFileTest, TheSameEntriesMakeTheSameFile) {
  const auto file = CriuImageFile::Read(dir_.fd(), "fs-7.img", CriuMagic::kFs);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->WithEntries(
                {std::string(file->entry(0)), std::string(file->entry(1))}),
            ReadBack(dir_.fd(), "fs-7.img"));
}

TEST_F(CriuImageFileTest, MissingFileIsDataLossUnlessItMayBeMissing) {
  const auto file = CriuImageFile::Read(dir_.fd(), "fs-8.img", CriuMagic::kFs);
  EXPECT_EQ(file.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(file.status().message(), "image file fs-8.img: missing");
  const auto none =
      CriuImageFile::ReadIfThere(dir_.fd(), "fs-8.img", CriuMagic::kFs);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_FALSE(none->there());
  EXPECT_EQ(none->entry_count(), 0U);
}

TEST_F(CriuImageFileTest, FileOfAnotherTypeIsDataLoss) {
  EXPECT_EQ(CriuImageFile::Read(dir_.fd(), "fs-7.img", CriuMagic::kMm)
                .status()
                .code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(CriuImageFileTest, EveryTruncationInsideAnEntryIsDataLoss) {
  const std::string bytes = ReadBack(dir_.fd(), "fs-7.img");
  for (size_t size = 0; size < bytes.size(); ++size) {
    if (size == 8 || size == 14) continue;  // between entries
    WriteFile(dir_.fd(), "fs-7.img", bytes.substr(0, size));
    EXPECT_EQ(CriuImageFile::ReadIfThere(dir_.fd(), "fs-7.img", CriuMagic::kFs)
                  .status()
                  .code(),
              absl::StatusCode::kDataLoss)
        << size;
  }
}

TEST_F(CriuImageFileTest, FileWithoutTheOneEntryIsDataLoss) {
  WriteCriuFile(dir_.fd(), "fs-7.img", CriuMagic::kFs, {});
  const auto file = CriuImageFile::Read(dir_.fd(), "fs-7.img", CriuMagic::kFs);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->ParseOne<criu_images::Fs>().status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace ckpt
