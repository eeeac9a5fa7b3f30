#include "store/leftovers.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "store/layout.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

using Strings = std::vector<std::string>;

class LeftoversTest : public testing::Test {
 protected:
  void Make(const std::string& name) {
    ASSERT_EQ(::mkdir(dir_.Path(name).c_str(), 0700), 0);
  }

  const TempDirectory dir_;
};

TEST_F(LeftoversTest, WhatNobodyHoldsIsCollected) {
  Make(".ckpt-pending-a-000001");
  Make(".ckpt-removed-b-000002");
  WriteFile(dir_.fd(), ".ckpt-pending-a-000001/pages-1.img", "x");
  EXPECT_TRUE(CollectLeftovers(dir_.fd()).ok());
  EXPECT_EQ(dir_.Names(), Strings());
}

TEST_F(LeftoversTest, WhatIsLockedStays) {
  Make(".ckpt-pending-a-000001");
  const auto held = OpenLocked(dir_.fd(), ".ckpt-pending-a-000001", LOCK_SH);
  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_TRUE(CollectLeftovers(dir_.fd()).ok());
  EXPECT_EQ(dir_.Names(), Strings{".ckpt-pending-a-000001"});
}

TEST_F(LeftoversTest, OtherThingsStay) {
  Make("image");
  Make(".hidden");
  Make(".ckpt-other");
  EXPECT_TRUE(CollectLeftovers(dir_.fd()).ok());
  EXPECT_EQ(dir_.Names(), (Strings{".ckpt-other", ".hidden", "image"}));
}

TEST_F(LeftoversTest, FileWithSuchANameStaysAndIsReported) {
  WriteFile(dir_.fd(), ".ckpt-pending-a-000001", "");
  Make(".ckpt-pending-b-000002");
  EXPECT_FALSE(CollectLeftovers(dir_.fd()).ok());
  EXPECT_EQ(dir_.Names(), Strings{".ckpt-pending-a-000001"});
}

TEST_F(LeftoversTest, SharedLocksGoTogetherAndKeepAnExclusiveOneOut) {
  Make("d");
  const auto first = OpenLocked(dir_.fd(), "d", LOCK_SH);
  const auto second = OpenLocked(dir_.fd(), "d", LOCK_SH);
  EXPECT_TRUE(first.ok());
  EXPECT_TRUE(second.ok());
  EXPECT_EQ(OpenLocked(dir_.fd(), "d", LOCK_EX).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(LeftoversTest, LockingNothingIsNotFound) {
  EXPECT_EQ(OpenLocked(dir_.fd(), "d", LOCK_SH).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(LeftoversTest, LinkIsFollowedOnlyWhenAsked) {
  Make("d");
  ASSERT_EQ(::symlink("d", dir_.Path("l").c_str()), 0);
  EXPECT_FALSE(OpenLocked(dir_.fd(), "l", LOCK_SH).ok());
  EXPECT_TRUE(OpenLocked(dir_.fd(), "l", LOCK_SH, Links::kFollow).ok());
}

TEST_F(LeftoversTest, HiddenNamesDiffer) {
  std::set<std::string> names;
  for (int i = 0; i < 20; ++i) names.insert(HiddenName(kPendingPrefix, "job"));
  EXPECT_GT(names.size(), 15U);
  EXPECT_EQ(names.begin()->substr(0, 18), ".ckpt-pending-job-");
  EXPECT_EQ(names.begin()->size(), 24U);
}

}  // namespace
}  // namespace ckpt
