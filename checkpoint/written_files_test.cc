#include "checkpoint/written_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "tests/support/test_dir.h"

namespace ckpt::checkpoint {
namespace {

// The test's own descriptors are those of the job.
class WrittenFilesTest : public testing::Test {
 protected:
  std::string MakeFile(const std::string& name, const std::string& text) {
    const std::string path = dir_.File(name);
    std::ofstream(path) << text;
    return path;
  }

  static UniqueFd Open(const std::string& path, int flags) {
    UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC));
    EXPECT_TRUE(fd.ok()) << path;
    return fd;
  }

  // Those in the test's directory, as "NAME SIZE" and " append".
  std::vector<std::string> Described() {
    v1::ManifestJob job;
    DescribeWrittenFiles(ProcFs::Real(), {::getpid()}, job);
    std::vector<std::string> lines;
    for (const v1::ManifestWrittenFile& file : job.written_files()) {
      if (file.path().rfind(dir_.path(), 0) != 0) continue;
      lines.push_back(file.path().substr(dir_.path().size() + 1) + " " +
                      std::to_string(file.size_bytes()) +
                      (file.append_only() ? " append" : ""));
    }
    return lines;
  }

  using Lines = std::vector<std::string>;
  TestDir dir_;
};

TEST_F(WrittenFilesTest, OnlyFilesOpenForWritingAreThere) {
  const UniqueFd a = Open(MakeFile("read", "12"), O_RDONLY);
  const UniqueFd b = Open(MakeFile("update", "1234"), O_RDWR);
  const UniqueFd c = Open(MakeFile("write", "123"), O_WRONLY);

  EXPECT_EQ(Described(), (Lines{"update 4", "write 3"}));
}

TEST_F(WrittenFilesTest, AppendOnlyIsSoForEveryDescriptor) {
  const std::string log = MakeFile("log", "123");
  const UniqueFd a = Open(log, O_WRONLY | O_APPEND);
  EXPECT_EQ(Described(), (Lines{"log 3 append"}));

  const UniqueFd b = Open(log, O_WRONLY);
  EXPECT_EQ(Described(), (Lines{"log 3"}));
}

TEST_F(WrittenFilesTest, FileWhoseNameIsNotUtf8IsLeftOut) {
  const UniqueFd fd = Open(MakeFile("\xe4", "123"), O_WRONLY);
  EXPECT_EQ(Described(), Lines{});
}

TEST_F(WrittenFilesTest, FileWithoutANameIsLeftOutAsItIsInTheImage) {
  const std::string path = MakeFile("gone", "123");
  const UniqueFd fd = Open(path, O_WRONLY);
  ASSERT_EQ(::unlink(path.c_str()), 0);

  EXPECT_EQ(Described(), Lines{});
}

}  // namespace
}  // namespace ckpt::checkpoint
