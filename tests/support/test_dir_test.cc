#include "tests/support/test_dir.h"

#include <sys/mount.h>
#include <unistd.h>

#include <fstream>

#include "gtest/gtest.h"

namespace ckpt {
namespace {

bool Exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

TEST(TestDirTest, IsRemovedWithItsContents) {
  std::string path;
  {
    const TestDir dir;
    path = dir.path();
    const std::string inner = dir.MakeDirectory("inner");
    std::ofstream(inner + "/file") << "text";
    ASSERT_TRUE(Exists(inner + "/file"));
  }
  EXPECT_FALSE(Exists(path));
}

TEST(TestDirTest, UnmountsAndSparesWhatIsMountedInIt) {
  const TestDir outside;
  const std::string file = outside.File("file");
  std::ofstream(file) << "text";
  std::string path;
  {
    const TestDir dir;
    path = dir.path();
    const std::string inner = dir.MakeDirectory("inner");
    if (::mount(outside.path().c_str(), inner.c_str(), nullptr, MS_BIND,
                nullptr) != 0) {
      GTEST_SKIP() << "mounting is not permitted here";
    }
    ASSERT_TRUE(Exists(inner + "/file"));
  }
  EXPECT_FALSE(Exists(path));
  EXPECT_TRUE(Exists(file));
}

}  // namespace
}  // namespace ckpt
