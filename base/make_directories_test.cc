#include "base/make_directories.h"

#include <sys/stat.h>

#include <fstream>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tests/support/test_dir.h"

namespace ckpt {
namespace {

TEST(MakeDirectoriesTest, AllThatAreMissingAreMadeWithTheMode) {
  const TestDir dir;
  const std::string path = dir.File("a/b/c");
  EXPECT_EQ(MakeDirectories(path, 0700), absl::OkStatus());
  for (const char* const part : {"a", "a/b", "a/b/c"}) {
    struct stat about = {};
    ASSERT_EQ(::stat(dir.File(part).c_str(), &about), 0) << part;
    EXPECT_EQ(about.st_mode & 07777, 0700u) << part;
  }
  EXPECT_EQ(MakeDirectories(path, 0755), absl::OkStatus());
}

TEST(MakeDirectoriesTest, FileInTheWayIsNamed) {
  const TestDir dir;
  std::ofstream(dir.File("f")) << "x";
  const absl::Status refused = MakeDirectories(dir.File("f/g"), 0700);
  EXPECT_FALSE(refused.ok());
  EXPECT_NE(refused.message().find("f/g"), std::string::npos) << refused;
}

}  // namespace
}  // namespace ckpt
