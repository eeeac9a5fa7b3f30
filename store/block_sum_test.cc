#include "store/block_sum.h"

#include <cstdint>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "store/test_support.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ckpt {
namespace {

// By the definition, and the library's calls for what is there at once.
std::string Wanted(absl::string_view data) {
  std::string blocks;
  for (size_t at = 0; at < data.size(); at += kSumBlockBytes) {
    const absl::string_view block = data.substr(at, kSumBlockBytes);
    const uint64_t sum = XXH3_64bits(block.data(), block.size());
    for (int byte = 0; byte < 8; ++byte) {
      blocks.push_back(static_cast<char>(sum >> (8 * byte)));
    }
  }
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical,
                           XXH3_128bits(blocks.data(), blocks.size()));
  return std::string(reinterpret_cast<const char*>(canonical.digest),
                     sizeof(canonical.digest));
}

std::string SumOf(absl::string_view data, size_t step) {
  BlockSum sum;
  for (size_t at = 0; at < data.size(); at += step) {
    sum.Add(data.substr(at, step));
  }
  return sum.Finish();
}

TEST(BlockSumTest, KnownVectors) {
  // XXH3-128 and XXH3-64 of nothing, as the specification has them.
  EXPECT_EQ(absl::BytesToHexString(BlockSum().Finish()),
            "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(Xxh3Of(""), 0x2d06800538d394c2u);
}

TEST(BlockSumTest, IsThatOfTheBlocksHoweverItIsAdded) {
  for (const size_t size :
       {size_t{0}, size_t{1}, kSumBlockBytes - 1, kSumBlockBytes,
        kSumBlockBytes + 1, 5 * kSumBlockBytes, 5 * kSumBlockBytes + 4097}) {
    const std::string data = Pattern(size);
    for (const size_t step : {size_t{4093}, kSumBlockBytes - 1, kSumBlockBytes,
                              kSumBlockBytes + 7, 8 * kSumBlockBytes}) {
      EXPECT_EQ(SumOf(data, step), Wanted(data)) << size << " by " << step;
    }
  }
}

TEST(BlockSumTest, BlocksMayBeGivenByTheirSums) {
  const std::string data = Pattern(3 * kSumBlockBytes + 5);
  const absl::string_view all = data;
  BlockSum sum;
  sum.AddBlock(Xxh3Of(all.substr(0, kSumBlockBytes)));
  sum.Add(all.substr(kSumBlockBytes, kSumBlockBytes));
  sum.AddBlock(Xxh3Of(all.substr(2 * kSumBlockBytes, kSumBlockBytes)));
  sum.Add(all.substr(3 * kSumBlockBytes));
  EXPECT_EQ(sum.Finish(), Wanted(data));
}

TEST(BlockSumTest, CopyGoesOnByItself) {
  const std::string data = Pattern(2 * kSumBlockBytes);
  const absl::string_view all = data;
  const size_t half = kSumBlockBytes / 2;
  BlockSum sum;
  sum.Add(all.substr(0, half));
  BlockSum copy = sum;
  BlockSum assigned;
  assigned.Add("something else");
  assigned = sum;
  sum.Add("other");
  copy.Add(all.substr(half));
  assigned.Add(all.substr(half));
  EXPECT_EQ(copy.Finish(), Wanted(data));
  EXPECT_EQ(assigned.Finish(), Wanted(data));
}

TEST(BlockSumTest, FinishStartsOver) {
  BlockSum sum;
  sum.Add("before");
  sum.Finish();
  sum.Add("content");
  EXPECT_EQ(sum.Finish(), Wanted("content"));
}

}  // namespace
}  // namespace ckpt
