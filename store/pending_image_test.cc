#include "store/pending_image.h"

#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "store/image.h"
#include "store/image_store.h"
#include "store/layout.h"
#include "store/sha256.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

using Strings = std::vector<std::string>;

class PendingImageTest : public testing::Test {
 protected:
  std::unique_ptr<PendingImage> Begin(const std::string& name) {
    auto pending = store_.Begin(name);
    EXPECT_TRUE(pending.ok()) << pending.status();
    return *std::move(pending);
  }

  const TempDirectory dir_;
  const ImageStore store_{dir_.path()};
};

TEST_F(PendingImageTest, DirectoryIsHiddenAndOursAlone) {
  const auto pending = Begin("job");
  ASSERT_EQ(dir_.Names().size(), 1U);
  EXPECT_EQ(dir_.Path(dir_.Names()[0]), pending->path());
  EXPECT_TRUE(absl::StartsWith(dir_.Names()[0], ".ckpt-pending-job-"));
  EXPECT_EQ(pending->final_path(), dir_.Path("job"));
  struct stat about {};
  ASSERT_EQ(::fstat(pending->dir_fd(), &about), 0);
  EXPECT_EQ(about.st_mode & 07777, 0700U);
}

TEST_F(PendingImageTest, ManifestListsEveryFileWithSizeAndDigest) {
  const auto pending = Begin("job");
  WriteFile(pending->dir_fd(), "b.img", "content");
  WriteFile(pending->dir_fd(), "a.img", "");
  v1::Manifest about;
  about.set_criu_version("4.1");
  const auto manifest = pending->Seal(about);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  ASSERT_EQ(manifest->files_size(), 2);
  EXPECT_EQ(manifest->files(0).name(), "a.img");
  EXPECT_EQ(manifest->files(0).size_bytes(), 0U);
  EXPECT_EQ(manifest->files(1).name(), "b.img");
  EXPECT_EQ(manifest->files(1).size_bytes(), 7U);
  EXPECT_EQ(manifest->files(1).sha256(), Sha256Of("content"));
  EXPECT_EQ(manifest->criu_version(), "4.1");
  EXPECT_EQ(manifest->image_id().size(), 32U);
  EXPECT_GT(manifest->created_unix_ns(), 0);
}

TEST_F(PendingImageTest, IdentityThatTheCallerGaveIsKept) {
  const auto pending = Begin("job");
  v1::Manifest about;
  about.set_image_id("mine");
  about.set_created_unix_ns(5);
  const auto manifest = pending->Seal(about);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->image_id(), "mine");
  EXPECT_EQ(manifest->created_unix_ns(), 5);
}

TEST_F(PendingImageTest, PublishedImageHasItsNameAndVerifies) {
  auto pending = Begin("job");
  WriteFile(pending->dir_fd(), "a.img", "content");
  const auto manifest = pending->Seal({});
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  ASSERT_TRUE(std::move(*pending).Publish().ok());
  EXPECT_EQ(dir_.Names(), Strings{"job"});
  const auto image = store_.Open("job");
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->manifest().SerializeAsString(),
            manifest->SerializeAsString());
  EXPECT_TRUE(image->Verify().ok()) << image->Verify();
}

TEST_F(PendingImageTest, PublishedImageOutlivesItsWriter) {
  {
    auto pending = Begin("job");
    ASSERT_TRUE(pending->Seal({}).ok());
    ASSERT_TRUE(std::move(*pending).Publish().ok());
  }
  EXPECT_EQ(dir_.Names(), Strings{"job"});
}

// The writer still waits for CRIU to put its figures there.
TEST_F(PendingImageTest, PublishedImageCannotBeRemovedWhileItsWriterHoldsIt) {
  auto pending = Begin("job");
  ASSERT_TRUE(pending->Seal({}).ok());
  ASSERT_TRUE(std::move(*pending).Publish().ok());
  EXPECT_EQ(store_.Remove("job").code(), absl::StatusCode::kUnavailable);
  pending.reset();
  EXPECT_TRUE(store_.Remove("job").ok());
}

TEST_F(PendingImageTest, DroppedOneLeavesNothing) {
  {
    const auto pending = Begin("job");
    WriteFile(pending->dir_fd(), "a.img", "content");
    ASSERT_TRUE(pending->Seal({}).ok());
  }
  EXPECT_EQ(dir_.Names(), Strings());
}

TEST_F(PendingImageTest, AbortLeavesNothingAndMayBeRepeated) {
  const auto pending = Begin("job");
  WriteFile(pending->dir_fd(), "a.img", "content");
  EXPECT_TRUE(pending->Abort().ok());
  EXPECT_EQ(dir_.Names(), Strings());
  EXPECT_TRUE(pending->Abort().ok());
}

TEST_F(PendingImageTest, UnsealedOneIsNotPublished) {
  auto pending = Begin("job");
  EXPECT_EQ(std::move(*pending).Publish().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_.Open("job").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(PendingImageTest, SealingTwiceIsRefused) {
  const auto pending = Begin("job");
  ASSERT_TRUE(pending->Seal({}).ok());
  EXPECT_EQ(pending->Seal({}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(PendingImageTest, SecondOfTwoWritersIsToldAndTheFirstImageStays) {
  auto first = Begin("job");
  auto second = Begin("job");
  WriteFile(first->dir_fd(), "a.img", "first");
  WriteFile(second->dir_fd(), "a.img", "second");
  ASSERT_TRUE(first->Seal({}).ok());
  ASSERT_TRUE(second->Seal({}).ok());
  EXPECT_TRUE(std::move(*first).Publish().ok());
  EXPECT_EQ(std::move(*second).Publish().code(),
            absl::StatusCode::kAlreadyExists);
  second.reset();
  EXPECT_EQ(dir_.Names(), Strings{"job"});
  EXPECT_EQ(ReadBack(dir_.fd(), "job/a.img"), "first");
}

TEST_F(PendingImageTest, WhatIsNoFileIsRefusedByName) {
  const auto pending = Begin("job");
  ASSERT_EQ(::mkdirat(pending->dir_fd(), "strange", 0700), 0);
  const auto sealed = pending->Seal({});
  EXPECT_EQ(sealed.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(sealed.status().message(), "strange"));
}

TEST_F(PendingImageTest, FiguresOfCriuAreNoPartOfTheImage) {
  auto pending = Begin("job");
  WriteFile(pending->dir_fd(), kDumpStatsFile, "early");
  const auto manifest = pending->Seal({});
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->files_size(), 0);
  ASSERT_TRUE(std::move(*pending).Publish().ok());
  WriteFile(pending->dir_fd(), kDumpStatsFile, "late");
  EXPECT_TRUE(store_.Open("job")->Verify().ok());
}

}  // namespace
}  // namespace ckpt
