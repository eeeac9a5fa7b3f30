#include "store/file_digests.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/cancellation.h"
#include "gtest/gtest.h"
#include "store/block_sum.h"
#include "store/sha256.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

class FileDigestsTest : public testing::TestWithParam<Durability> {
 protected:
  const TempDirectory dir_;
};

TEST_P(FileDigestsTest, FilesOfAllSizesHaveTheirDigests) {
  std::vector<std::string> names;
  for (const size_t size : {0UL, 1UL, 4096UL, (1UL << 20) - 1, 1UL << 20,
                            (1UL << 20) + 1, 5UL << 20}) {
    names.push_back(absl::StrCat("f", size));
    WriteFile(dir_.fd(), names.back(), std::string(size, 'd'));
  }
  const auto files = DigestFiles(dir_.fd(), names, GetParam());
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const v1::ManifestFile& file = (*files)[i];
    EXPECT_EQ(file.name(), names[i]);
    EXPECT_EQ(names[i], absl::StrCat("f", file.size_bytes()));
    const std::string data(file.size_bytes(), 'd');
    EXPECT_EQ(file.sha256(), Sha256Of(data));
    BlockSum sum;
    sum.Add(data);
    EXPECT_EQ(file.block_sum(), sum.Finish());
  }
}

TEST_P(FileDigestsTest, MoreFilesThanOneBatchComeInOrder) {
  std::vector<std::string> names;
  for (int i = 0; i < 600; ++i) {
    names.push_back(absl::StrCat("f", i));
    WriteFile(dir_.fd(), names.back(), absl::StrCat("content ", i));
  }
  const auto files = DigestFiles(dir_.fd(), names, GetParam());
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ((*files)[i].name(), names[i]);
    EXPECT_EQ((*files)[i].sha256(), Sha256Of(absl::StrCat("content ", i)));
  }
}

TEST_P(FileDigestsTest, NoFilesIsFine) {
  EXPECT_TRUE(DigestFiles(dir_.fd(), {}, GetParam())->empty());
}

TEST_P(FileDigestsTest, MissingFileIsNotFound) {
  const auto files = DigestFiles(dir_.fd(), {"none"}, GetParam());
  EXPECT_EQ(files.status().code(), absl::StatusCode::kNotFound);
}

TEST_P(FileDigestsTest, WhatIsNoFileIsRefused) {
  ASSERT_EQ(::mkdir(dir_.Path("d").c_str(), 0700), 0);
  ASSERT_EQ(::symlink("d", dir_.Path("l").c_str()), 0);
  ASSERT_EQ(::mkfifo(dir_.Path("p").c_str(), 0600), 0);
  for (const std::string name : {"d", "l", "p"}) {
    EXPECT_EQ(DigestFiles(dir_.fd(), {name}, GetParam()).status().code(),
              absl::StatusCode::kFailedPrecondition)
        << name;
  }
}

// A file that nobody could wait for.
TEST_P(FileDigestsTest, CancellationEndsAFileInTheMiddle) {
  WriteFile(dir_.fd(), "huge", "");
  ASSERT_EQ(::truncate(dir_.Path("huge").c_str(), off_t{1} << 42), 0);
  Cancellation cancel;
  std::thread canceller([&cancel] { cancel.Cancel(); });
  const auto files =
      DigestFiles(dir_.fd(), {"huge"}, GetParam(), nullptr, &cancel);
  canceller.join();
  EXPECT_EQ(files.status().code(), absl::StatusCode::kCancelled);
}

INSTANTIATE_TEST_SUITE_P(Both, FileDigestsTest,
                         testing::Values(Durability::kAsIs,
                                         Durability::kOnDisk));

}  // namespace
}  // namespace ckpt
