#include "store/arriving_sums.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "store/block_sum.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

constexpr char kPages[] = "pages-1.img";
constexpr uint64_t kBlock = kSumBlockBytes;

std::string Wanted(absl::string_view data) {
  BlockSum sum;
  sum.Add(data);
  return sum.Finish();
}

class ArrivingSumsTest : public testing::Test {
 protected:
  // Into the file alone.
  void Put(uint64_t offset, absl::string_view data) {
    const auto fd = OpenAt(dir_.fd(), kPages, O_WRONLY | O_CREAT, 0600);
    ASSERT_TRUE(fd.ok()) << fd.status();
    ASSERT_EQ(::pwrite(fd->get(), data.data(), data.size(),
                       static_cast<off_t>(offset)),
              static_cast<ssize_t>(data.size()));
  }
  // As a receiver does.
  void Write(uint64_t offset, absl::string_view data) {
    Put(offset, data);
    sums_.Wrote(kPages, offset, offset + data.size(), Xxh3Of(data));
  }
  std::string Sum(uint64_t size) { return Sum(sums_, size); }
  std::string Sum(const ArrivingSums& sums, uint64_t size) {
    const auto fd = OpenAt(dir_.fd(), kPages, O_RDWR | O_CREAT, 0600);
    EXPECT_TRUE(fd.ok()) << fd.status();
    EXPECT_EQ(::ftruncate(fd->get(), static_cast<off_t>(size)), 0);
    const auto sum = sums.BlockSumOf(kPages, fd->get(), size);
    EXPECT_TRUE(sum.ok()) << sum.status();
    return sum.ok() ? *sum : "";
  }

  const TempDirectory dir_;
  ArrivingSums sums_;
};

TEST_F(ArrivingSumsTest, BlocksComeInAnyOrder) {
  const std::string data = Pattern(4 * kBlock + 100);
  for (const uint64_t block : {3, 0, 4, 2, 1}) {
    Write(block * kBlock,
          absl::string_view(data).substr(block * kBlock, kBlock));
  }
  EXPECT_EQ(Sum(data.size()), Wanted(data));
}

TEST_F(ArrivingSumsTest, WhatIsKnownIsNotRead) {
  const std::string data = Pattern(2 * kBlock + 100);
  for (uint64_t at = 0; at < data.size(); at += kBlock) {
    Write(at, absl::string_view(data).substr(at, kBlock));
  }
  Put(kBlock + 5, "changed behind its back");
  EXPECT_EQ(Sum(data.size()), Wanted(data));
  // The last block is shorter, and is read.
  Put(2 * kBlock, "changed");
  EXPECT_NE(Sum(data.size()), Wanted(data));
}

TEST_F(ArrivingSumsTest, BlocksOfHolesAreZeros) {
  std::string data(4 * kBlock + 7, '\0');
  EXPECT_EQ(Sum(data.size()), Wanted(data));
  const std::string block = Pattern(kBlock);
  data.replace(2 * kBlock, kBlock, block);
  Write(2 * kBlock, block);
  EXPECT_EQ(Sum(data.size()), Wanted(data));
}

TEST_F(ArrivingSumsTest, EmptyFileHasTheSumOfNothing) {
  EXPECT_EQ(Sum(0), Wanted(""));
}

TEST_F(ArrivingSumsTest, PiecesThatAreNoBlocksAreRead) {
  const std::string data = Pattern(5 * kBlock);
  const absl::string_view all = data;
  Write(0, all.substr(0, 4096));
  Write(4096, all.substr(4096, kBlock));  // of two blocks
  Write(kBlock + 4096, all.substr(kBlock + 4096, kBlock - 4096));
  Write(2 * kBlock, all.substr(2 * kBlock, 3 * kBlock));  // of three at once
  EXPECT_EQ(Sum(data.size()), Wanted(data));
}

TEST_F(ArrivingSumsTest, PartOfABlockLeavesTheRestZeros) {
  std::string data(2 * kBlock, '\0');
  data.replace(kBlock + 8192, 4096, Pattern(4096));
  Write(kBlock + 8192, absl::string_view(data).substr(kBlock + 8192, 4096));
  EXPECT_EQ(Sum(data.size()), Wanted(data));
}

TEST_F(ArrivingSumsTest, BlockThatIsWrittenAgainIsRead) {
  const std::string first = Pattern(kBlock);
  // Zeros are left out: what was there before stays.
  Write(0, first);
  sums_.Wrote(kPages, 0, kBlock, Xxh3Of(std::string(kBlock, '\0')));
  EXPECT_EQ(Sum(kBlock), Wanted(first));
  Write(kBlock, first);
  Write(kBlock + 10, "over it");
  std::string second = first;
  second.replace(10, 7, "over it");
  EXPECT_EQ(Sum(2 * kBlock), Wanted(first + second));
}

TEST_F(ArrivingSumsTest, WriteThatFailedMakesItsBlocksBeRead) {
  const std::string data = Pattern(kBlock);
  Put(0, absl::string_view(data).substr(0, 5000));
  sums_.Wrote(kPages, 0, kBlock, std::nullopt);
  std::string wanted = data.substr(0, 5000);
  wanted.resize(kBlock);
  EXPECT_EQ(Sum(kBlock), Wanted(wanted));
  Write(0, data);
  EXPECT_EQ(Sum(kBlock), Wanted(data));
}

TEST_F(ArrivingSumsTest, GoingOnItReadsWhatNobodyCompared) {
  const std::string data = Pattern(3 * kBlock);
  Put(0, data);
  Put(5 * kBlock, data.substr(0, 4096));
  ArrivingSums sums;
  sums.Found(kPages, kBlock, 2 * kBlock,
             Xxh3Of(absl::string_view(data).substr(kBlock, kBlock)));
  sums.Found(kPages, 0, 4096, Xxh3Of(data.substr(0, 4096)));
  ASSERT_EQ(sums.Resume(dir_.fd()), absl::OkStatus());
  std::string wanted = data;
  wanted.resize(5 * kBlock);
  wanted += data.substr(0, 4096);
  wanted.resize(6 * kBlock);
  EXPECT_EQ(Sum(sums, 6 * kBlock), Wanted(wanted));
  // The middle was compared, and is not read again.
  Put(kBlock, "changed");
  EXPECT_EQ(Sum(sums, 6 * kBlock), Wanted(wanted));
  // A block of a record that was lost comes again, with less in it.
  const std::string less(kBlock, '\0');
  sums.Wrote(kPages, 2 * kBlock, 3 * kBlock, Xxh3Of(less));
  EXPECT_EQ(Sum(sums, 6 * kBlock), Wanted(wanted));
}

TEST_F(ArrivingSumsTest, BeyondTheBoundNothingIsKnown) {
  ArrivingSums sums(/*most_blocks=*/2);
  EXPECT_TRUE(sums.Knows(kPages));
  const uint64_t far = uint64_t{1} << 44;
  sums.Wrote(kPages, far - kBlock, far, 1);
  sums.Wrote("pages-2.img", 0, kBlock, 1);
  EXPECT_TRUE(sums.Knows(kPages));
  sums.Wrote("pages-3.img", 0, kBlock, 1);
  EXPECT_FALSE(sums.Knows(kPages));
  sums.Wrote(kPages, 0, kBlock, 1);
  EXPECT_FALSE(sums.Knows(kPages));
}

TEST_F(ArrivingSumsTest, BoundHoldsForWhatIsFoundToo) {
  Put(0, Pattern(4 * kBlock));
  ArrivingSums sums(/*most_blocks=*/2);
  ASSERT_EQ(sums.Resume(dir_.fd()), absl::OkStatus());
  EXPECT_FALSE(sums.Knows(kPages));
}

TEST_F(ArrivingSumsTest, OtherFilesAreNotKnown) {
  EXPECT_FALSE(sums_.Knows("core-1.img"));
  sums_.Wrote("core-1.img", 0, kBlock, 1);
  EXPECT_FALSE(sums_.Knows("core-1.img"));
}

TEST_F(ArrivingSumsTest, FileThatIsShorterIsAnError) {
  Put(0, "short");
  const auto fd = OpenAt(dir_.fd(), kPages, O_RDONLY);
  ASSERT_TRUE(fd.ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(
      sums_.BlockSumOf(kPages, fd->get(), 100).status()));
}

}  // namespace
}  // namespace ckpt
