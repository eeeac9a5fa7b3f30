#include "store/image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "store/image_store.h"
#include "store/layout.h"
#include "store/manifest.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

class ImageTest : public testing::Test {
 protected:
  void SetUp() override {
    auto pending = store_.Begin("job");
    ASSERT_TRUE(pending.ok()) << pending.status();
    WriteFile((*pending)->dir_fd(), "pages-1.img", std::string(300000, 'p'));
    WriteFile((*pending)->dir_fd(), "core-7.img", "core");
    ASSERT_TRUE((*pending)->Seal({}).ok());
    ASSERT_TRUE(std::move(**pending).Publish().ok());
  }

  // The image is damaged by now, and `file` is said to be why.
  void ExpectDamaged(const std::string& file, const std::string& what) {
    const auto image = store_.Open("job");
    ASSERT_TRUE(image.ok()) << image.status();
    const absl::Status status = image->Verify();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(status.message(),
              absl::StrCat("image ", dir_.Path("job"), " is damaged: ", file,
                           ": ", what, "; nothing was started"));
  }

  void FlipBit(const std::string& name, size_t byte) {
    std::string data = ReadBack(dir_.fd(), name);
    data[byte] = static_cast<char>(data[byte] ^ 4);
    WriteFile(dir_.fd(), name, data);
  }

  const TempDirectory dir_;
  const ImageStore store_{dir_.path()};
};

TEST_F(ImageTest, WholeImageVerifies) {
  const auto image = store_.Open("job");
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_TRUE(image->Verify().ok()) << image->Verify();
  EXPECT_EQ(image->name(), "job");
  EXPECT_EQ(image->path(), dir_.Path("job"));
  EXPECT_EQ(image->manifest().files_size(), 2);
}

TEST_F(ImageTest, MissingFileIsNamed) {
  ASSERT_EQ(::unlink(dir_.Path("job/core-7.img").c_str()), 0);
  ExpectDamaged("core-7.img", "missing");
}

TEST_F(ImageTest, TruncatedFileIsNamed) {
  ASSERT_EQ(::truncate(dir_.Path("job/pages-1.img").c_str(), 299999), 0);
  ExpectDamaged("pages-1.img", "size 299999 instead of 300000");
}

TEST_F(ImageTest, FlippedBitIsFound) {
  FlipBit("job/pages-1.img", 123456);
  ExpectDamaged("pages-1.img", "content differs");
}

TEST_F(ImageTest, ExtraFileIsNamed) {
  WriteFile(dir_.fd(), "job/core-8.img", "more");
  ExpectDamaged("core-8.img", "does not belong to it");
}

TEST_F(ImageTest, LinkInPlaceOfAFileIsNoFile) {
  ASSERT_EQ(::rename(dir_.Path("job/core-7.img").c_str(),
                     dir_.Path("elsewhere").c_str()),
            0);
  ASSERT_EQ(::symlink("../elsewhere", dir_.Path("job/core-7.img").c_str()), 0);
  ExpectDamaged("core-7.img", "no regular file");
}

TEST_F(ImageTest, BlockSumIsComparedIfThereIsOne) {
  const auto rewrite = [&](const std::string& block_sum) {
    auto manifest = DecodeManifest(ReadBack(dir_.fd(), "job/ckpt-manifest.pb"));
    ASSERT_TRUE(manifest.ok()) << manifest.status();
    manifest->mutable_files(0)->set_block_sum(block_sum);
    WriteFile(dir_.fd(), "job/ckpt-manifest.pb", EncodeManifest(*manifest));
  };
  for (const char* const wrong : {"sixteen bytes ..", "short"}) {
    ASSERT_NO_FATAL_FAILURE(rewrite(wrong));
    ExpectDamaged("core-7.img", "content differs");
  }
  ASSERT_NO_FATAL_FAILURE(rewrite(""));
  EXPECT_EQ(store_.Open("job")->Verify(), absl::OkStatus());
}

TEST_F(ImageTest, ManifestExchangedAfterOpenIsFound) {
  const auto image = store_.Open("job");
  ASSERT_TRUE(image.ok()) << image.status();
  FlipBit("job/ckpt-manifest.pb", 10);
  EXPECT_EQ(image->Verify().code(), absl::StatusCode::kDataLoss);
  ASSERT_EQ(::unlink(dir_.Path("job/ckpt-manifest.pb").c_str()), 0);
  EXPECT_EQ(image->Verify().code(), absl::StatusCode::kDataLoss);
}

TEST_F(ImageTest, FlippedBitOfTheManifestIsDataLossAtOpen) {
  FlipBit("job/ckpt-manifest.pb", 10);
  const auto image = store_.Open("job");
  EXPECT_EQ(image.status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(ImageTest, DirectoryWithoutManifestIsNoImage) {
  ASSERT_EQ(::unlink(dir_.Path("job/ckpt-manifest.pb").c_str()), 0);
  const auto image = store_.Open("job");
  EXPECT_EQ(image.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(image.status().message(),
            absl::StrCat(dir_.Path("job"),
                         " is not a ckpt image: no ckpt-manifest.pb"));
}

TEST_F(ImageTest, FileIsNoImage) {
  WriteFile(dir_.fd(), "file", "x");
  EXPECT_EQ(store_.Open("file").status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(ImageTest, AbsentImageIsNotFoundAndNamed) {
  const auto image = store_.Open("other");
  EXPECT_EQ(image.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(image.status().message(),
            absl::StrCat("no image ", dir_.Path("other"),
                         "; 'ckpt list' shows the images there are"));
}

TEST_F(ImageTest, LinkToAnImageOpensIt) {
  ASSERT_EQ(::symlink("job", dir_.Path("latest").c_str()), 0);
  const auto image = store_.Open("latest");
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_TRUE(image->Verify().ok());
}

TEST_F(ImageTest, WhatCriuLeavesBehindDoesNoHarm) {
  WriteFile(dir_.fd(), "job/stats-dump", "x");
  WriteFile(dir_.fd(), "job/stats-restore", "x");
  ASSERT_EQ(::mkdir(dir_.Path("job/.criu.cgyard.abcdef").c_str(), 0700), 0);
  EXPECT_TRUE(store_.Open("job")->Verify().ok());
}

TEST_F(ImageTest, PinIsSeenAndDoesNoHarm) {
  const auto image = store_.Open("job");
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_FALSE(image->pinned());
  ASSERT_TRUE(*store_.Pin("job"));
  EXPECT_TRUE(image->pinned());
  EXPECT_TRUE(image->Verify().ok());
  EXPECT_TRUE(store_.Open("job")->Verify().ok());
}

TEST_F(ImageTest, OpenImageIsKept) {
  auto image = store_.Open("job");
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_TRUE(store_.Open("job").ok());  // two restores at a time
  EXPECT_EQ(store_.Remove("job").code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(image->Verify().ok());
  image = absl::UnknownError("closed");
  EXPECT_TRUE(store_.Remove("job").ok());
}

}  // namespace
}  // namespace ckpt
