#include "base/build_id.h"

#include <fstream>
#include <string>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace ckpt {
namespace {

std::string WriteFile(const std::string& name, absl::string_view bytes) {
  const std::string path = testing::TempDir() + "/" + name;
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Debian's libraries have one of 20 bytes.
TEST(BuildIdTest, LibraryHasOne) {
  const std::string id = ReadBuildId("/lib/x86_64-linux-gnu/libc.so.6");
  EXPECT_EQ(id.size(), 40U);
  EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
}

TEST(BuildIdTest, OtherFilesHaveNone) {
  EXPECT_EQ(ReadBuildId("/etc/passwd"), "");
  EXPECT_EQ(ReadBuildId("/nowhere"), "");
  EXPECT_EQ(ReadBuildId("/dev/null"), "");
  EXPECT_EQ(ReadBuildId("/"), "");
}

TEST(BuildIdTest, TruncatedFilesHaveNone) {
  const std::string whole = ReadAll("/bin/true");
  ASSERT_NE(ReadBuildId(WriteFile("whole", whole)), "");
  for (const size_t size : {0U, 4U, 63U, 64U, 100U, 300U}) {
    EXPECT_EQ(ReadBuildId(WriteFile("cut", whole.substr(0, size))), "") << size;
  }
}

}  // namespace
}  // namespace ckpt
