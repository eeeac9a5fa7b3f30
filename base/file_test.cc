#include "base/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace ckpt {
namespace {

std::string MakeDirectory() {
  std::string path = "/tmp/ckpt-file-test-XXXXXX";
  EXPECT_NE(::mkdtemp(path.data()), nullptr);
  return path;
}

TEST(FileTest, WritesAndReadsBackMoreThanOneBuffer) {
  const std::string dir = MakeDirectory();
  const auto dir_fd = OpenDirectory(dir);
  ASSERT_TRUE(dir_fd.ok());
  const std::string data(100000, 'x');
  {
    auto fd = OpenAt(dir_fd->get(), "big", O_WRONLY | O_CREAT);
    ASSERT_TRUE(fd.ok());
    ASSERT_TRUE(WriteAll(fd->get(), data, "big").ok());
    ASSERT_TRUE(Fsync(fd->get(), "big").ok());
  }
  EXPECT_EQ(*ReadFile(absl::StrCat(dir, "/big")), data);
  EXPECT_EQ(*ListDirectory(dir), std::vector<std::string>{"big"});
  ::unlink(absl::StrCat(dir, "/big").c_str());
  ::rmdir(dir.c_str());
}

TEST(FileTest, MissingFileIsNotFoundAndNamed) {
  const auto text = ReadFile("/nonexistent/file");
  EXPECT_EQ(text.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(text.status().message(),
            "open /nonexistent/file: No such file or directory");
}

TEST(FileTest, KernelFileMustExist) {
  const std::string dir = MakeDirectory();
  const auto dir_fd = OpenDirectory(dir);
  EXPECT_EQ(WriteKernelFileAt(dir_fd->get(), "new", "1").code(),
            absl::StatusCode::kNotFound);
  ::rmdir(dir.c_str());
}

}  // namespace
}  // namespace ckpt
