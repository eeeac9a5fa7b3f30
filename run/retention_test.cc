#include "run/retention.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace ckpt::run {
namespace {

using Strings = std::vector<std::string>;

constexpr uint64_t kBytes = 100;
const absl::Time kNow = absl::FromUnixSeconds(1000000);

// Images 1 to `count`, of 100 bytes each; the newest is an hour old, each other
// an hour older than the next.
std::vector<JobImage> Images(int count) {
  std::vector<JobImage> images;
  for (int number = 1; number <= count; ++number) {
    JobImage image;
    image.number = number;
    image.name = absl::StrCat(number);
    image.manifest.add_files()->set_size_bytes(kBytes);
    image.manifest.set_created_unix_ns(
        absl::ToUnixNanos(kNow - absl::Hours(count - number + 1)));
    images.push_back(image);
  }
  return images;
}

Strings Chosen(const RetentionLimits& limits,
               const std::vector<JobImage>& images, int32_t finished = 0) {
  Strings names;
  for (const RemovableImage& image :
       Retention(limits).Choose(images, finished, kNow)) {
    EXPECT_FALSE(image.reason.empty()) << image.name;
    names.push_back(image.name);
  }
  return names;
}

TEST(RetentionTest, WithoutALimitAllStay) {
  EXPECT_EQ(Chosen({}, Images(9)), Strings());
  EXPECT_EQ(Chosen({.keep = 1}, {}), Strings());
}

TEST(RetentionTest, TheNewestOfANumberStay) {
  EXPECT_EQ(Chosen({.keep = 3}, Images(5)), (Strings{"1", "2"}));
  EXPECT_EQ(Chosen({.keep = 5}, Images(5)), Strings());
}

TEST(RetentionTest, TheYoungOnesStay) {
  EXPECT_EQ(Chosen({.keep_for = absl::Minutes(150)}, Images(4)),
            (Strings{"1", "2"}));
}

TEST(RetentionTest, ThoseThatHaveRoomTogetherStay) {
  EXPECT_EQ(Chosen({.max_bytes = 3 * kBytes}, Images(5)), (Strings{"1", "2"}));
  EXPECT_EQ(Chosen({.max_bytes = 3 * kBytes - 1}, Images(5)),
            (Strings{"1", "2", "3"}));
}

TEST(RetentionTest, EachLimitIsOneByItself) {
  EXPECT_EQ(
      Chosen({.keep = 4, .keep_for = absl::Minutes(210), .max_bytes = 200},
             Images(5)),
      (Strings{"1", "2", "3"}));
}

TEST(RetentionTest, OlderOnesGoWithTheFirstThatGoes) {
  std::vector<JobImage> images = Images(3);
  images[1].manifest.mutable_files(0)->set_size_bytes(10 * kBytes);

  EXPECT_EQ(Chosen({.max_bytes = 2 * kBytes}, images), (Strings{"1", "2"}));
}

TEST(RetentionTest, TheNewestWholeOneStaysWhateverTheLimits) {
  std::vector<JobImage> images = Images(3);
  images[2].status = absl::DataLossError("damaged");

  EXPECT_EQ(
      Chosen({.keep = 1, .keep_for = absl::Minutes(1), .max_bytes = 1}, images),
      Strings{"1"});
}

TEST(RetentionTest, DamagedOnesCountForNothingAndGoWithOlderOnes) {
  std::vector<JobImage> images = Images(4);
  images[0].status = absl::DataLossError("damaged");
  images[2].status = absl::DataLossError("damaged");

  EXPECT_EQ(Chosen({.keep = 2}, images), Strings());
  EXPECT_EQ(Chosen({.keep = 1}, images), (Strings{"1", "2"}));
}

TEST(RetentionTest, PinnedOnesStayAndCountForNothing) {
  std::vector<JobImage> images = Images(5);
  images[0].pinned = true;
  images[3].pinned = true;

  EXPECT_EQ(Chosen({.keep = 2}, images), Strings{"2"});
  EXPECT_EQ(Chosen({.max_bytes = 2 * kBytes}, images), Strings{"2"});
  EXPECT_EQ(Chosen({}, images, 5), (Strings{"2", "3", "5"}));
}

TEST(RetentionTest, WhatIsHistoryGoesAndCountsForNothing) {
  EXPECT_EQ(Chosen({}, Images(5), 5), (Strings{"1", "2", "3", "4", "5"}));
  EXPECT_EQ(Chosen({.keep = 2}, Images(5), 2), (Strings{"1", "2", "3"}));
}

}  // namespace
}  // namespace ckpt::run
