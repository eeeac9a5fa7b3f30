#include "store/growing_digests.h"

#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "store/block_sum.h"
#include "store/file_digests.h"
#include "store/sha256.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

constexpr char kPages[] = "pages-1.img";

class GrowingDigestsTest : public testing::Test {
 protected:
  void Append(const std::string& name, absl::string_view data) {
    const auto fd =
        OpenAt(dir_.fd(), name, O_WRONLY | O_APPEND | O_CREAT, 0600);
    ASSERT_TRUE(fd.ok()) << fd.status();
    ASSERT_EQ(WriteAll(fd->get(), data, name), absl::OkStatus());
  }

  void AwaitRead(uint64_t bytes) {
    Clock& clock = Clock::Real();
    const absl::Time deadline = clock.Now() + absl::Minutes(1);
    while (growing_->BytesReadForTest() < bytes) {
      ASSERT_LT(clock.Now(), deadline);
      clock.Sleep(absl::Milliseconds(1));
    }
  }

  // Both sums of a file's entry that is made from there on.
  std::string DigestOf(const std::string& name) {
    const auto files =
        DigestFiles(dir_.fd(), {name}, Durability::kOnDisk, growing_.get());
    EXPECT_TRUE(files.ok()) << files.status();
    if (!files.ok()) return "";
    return files->front().sha256() + files->front().block_sum();
  }
  static std::string SumsOf(const std::string& data) {
    BlockSum sum;
    sum.Add(data);
    return Sha256Of(data) + sum.Finish();
  }

  const TempDirectory dir_;
  std::unique_ptr<GrowingDigests> growing_ = GrowingDigests::Start(dir_.fd());
};

TEST_F(GrowingDigestsTest, WhatIsAppendedIsReadMeanwhile) {
  const std::string data = Pattern(3 << 20);
  const absl::string_view all = data;
  Append(kPages, all.substr(0, 1 << 20));
  ASSERT_NO_FATAL_FAILURE(AwaitRead(1 << 20));
  Append(kPages, all.substr(1 << 20));
  ASSERT_NO_FATAL_FAILURE(AwaitRead(data.size()));
  auto part = growing_->Take(kPages);
  ASSERT_TRUE(part.has_value());
  EXPECT_EQ(part->bytes, data.size());
  EXPECT_EQ(part->hash.Finish() + part->sum.Finish(), SumsOf(data));
  EXPECT_FALSE(growing_->Take(kPages).has_value());
}

TEST_F(GrowingDigestsTest, RestIsAddedBySeal) {
  const std::string data = Pattern(2 << 20);
  Append(kPages, absl::string_view(data).substr(0, 1 << 20));
  ASSERT_NO_FATAL_FAILURE(AwaitRead(1 << 20));
  growing_->Stop();
  Append(kPages, absl::string_view(data).substr(1 << 20));
  EXPECT_EQ(DigestOf(kPages), SumsOf(data));
}

TEST_F(GrowingDigestsTest, ChangeIsInTheDigestWhereverItIs) {
  const size_t size = (40 << 20) + 5;  // more than two steps to fall back to
  for (const size_t offset :
       {size_t{0}, size_t{16} << 20, (size_t{32} << 20) - 1, size_t{32} << 20,
        size - 1}) {
    growing_ = nullptr;
    std::string data = Pattern(size);
    WriteFile(dir_.fd(), kPages, data);
    growing_ = GrowingDigests::Start(dir_.fd());
    ASSERT_NO_FATAL_FAILURE(AwaitRead(size));
    data[offset] = static_cast<char>(data[offset] + 1);
    growing_->Changed(kPages, offset);
    WriteFile(dir_.fd(), kPages, data);
    EXPECT_EQ(DigestOf(kPages), SumsOf(data)) << offset;
  }
}

TEST_F(GrowingDigestsTest, FileThatShrankIsReadAnew) {
  Append(kPages, Pattern(1 << 20));
  ASSERT_NO_FATAL_FAILURE(AwaitRead(1 << 20));
  growing_->Stop();
  WriteFile(dir_.fd(), kPages, "short");
  EXPECT_EQ(DigestOf(kPages), SumsOf("short"));
}

TEST_F(GrowingDigestsTest, OtherFilesAreLeftAlone) {
  Append("core-1.img", "core");
  Append(kPages, "pages");
  ASSERT_NO_FATAL_FAILURE(AwaitRead(5));
  EXPECT_FALSE(growing_->Take("core-1.img").has_value());
  EXPECT_EQ(DigestOf("core-1.img"), SumsOf("core"));
}

TEST_F(GrowingDigestsTest, MoreFilesThanAreFollowedHaveTheirDigests) {
  for (int i = 0; i < 200; ++i) {
    Append(absl::StrCat("pages-", i, ".img"), Pattern(1000 + i));
  }
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(DigestOf(absl::StrCat("pages-", i, ".img")),
              SumsOf(Pattern(1000 + i)));
  }
}

}  // namespace
}  // namespace ckpt
