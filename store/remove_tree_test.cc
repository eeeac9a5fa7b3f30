#include "store/remove_tree.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

using Strings = std::vector<std::string>;

TEST(RemoveTreeTest, RemovesAllLevels) {
  const TempDirectory dir;
  ASSERT_EQ(::mkdir(dir.Path("a").c_str(), 0700), 0);
  ASSERT_EQ(::mkdir(dir.Path("a/b").c_str(), 0700), 0);
  WriteFile(dir.fd(), "a/f", "1");
  WriteFile(dir.fd(), "a/b/g", "2");
  WriteFile(dir.fd(), "other", "3");
  EXPECT_TRUE(RemoveTree(dir.fd(), "a").ok());
  EXPECT_EQ(dir.Names(), Strings{"other"});
}

TEST(RemoveTreeTest, LinksAreRemovedAndNotFollowed) {
  const TempDirectory dir;
  ASSERT_EQ(::mkdir(dir.Path("kept").c_str(), 0700), 0);
  WriteFile(dir.fd(), "kept/f", "1");
  ASSERT_EQ(::mkdir(dir.Path("a").c_str(), 0700), 0);
  ASSERT_EQ(::symlink("../kept", dir.Path("a/link").c_str()), 0);
  EXPECT_TRUE(RemoveTree(dir.fd(), "a").ok());
  EXPECT_EQ(dir.Names(), Strings{"kept"});
  EXPECT_EQ(ReadBack(dir.fd(), "kept/f"), "1");
}

TEST(RemoveTreeTest, LinkInPlaceOfTheDirectoryIsRefused) {
  const TempDirectory dir;
  ASSERT_EQ(::mkdir(dir.Path("kept").c_str(), 0700), 0);
  ASSERT_EQ(::symlink("kept", dir.Path("a").c_str()), 0);
  EXPECT_FALSE(RemoveTree(dir.fd(), "a").ok());
  EXPECT_EQ(dir.Names(), (Strings{"a", "kept"}));
}

TEST(RemoveTreeTest, NothingThereIsFine) {
  const TempDirectory dir;
  EXPECT_TRUE(RemoveTree(dir.fd(), "none").ok());
}

constexpr char kMountInfo[] =
    "22 1 254:0 / / rw - ext4 /dev/vda rw\n"
    "30 22 0:5 / /s/.p-1/y/cpu rw shared:1 - cgroup cgroup rw,cpu\n"
    "31 22 0:6 / /s/.p-1 rw - tmpfs tmpfs rw\n"
    "32 22 0:7 / /s/.p-12/y rw - tmpfs tmpfs rw\n"
    "33 22 0:8 / /s/.p-1/with\\040space rw - tmpfs tmpfs rw\n";

TEST(MountPointsBelowTest, FindsWhatIsBelowAndNothingElse) {
  EXPECT_EQ(MountPointsBelow(kMountInfo, "/s/.p-1"),
            (Strings{"/s/.p-1/y/cpu", "/s/.p-1/with space"}));
  EXPECT_EQ(MountPointsBelow(kMountInfo, "/s/.p"), Strings());
}

}  // namespace
}  // namespace ckpt
