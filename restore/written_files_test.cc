#include "restore/written_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "tests/support/test_dir.h"

namespace ckpt::restore {
namespace {

class WrittenFilesTest : public testing::Test {
 protected:
  // A file with `text` here, and of `size` bytes in the image.
  std::string Add(const std::string& name, const std::string& text,
                  uint64_t size, bool append_only) {
    std::ofstream(dir_.File(name)) << text;
    v1::ManifestWrittenFile& file = *job_.add_written_files();
    file.set_path("/" + name);
    file.set_size_bytes(size);
    file.set_append_only(append_only);
    return dir_.File(name);
  }

  absl::StatusOr<std::vector<v1::CutFile>> Plan(v1::OutputPolicy policy) {
    return PlanOutput(job_, dir_.path(), policy);
  }

  void ExpectRefused(v1::OutputPolicy policy, const std::string& words) {
    const absl::Status status = Plan(policy).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), words)) << status;
  }

  TestDir dir_;
  v1::ManifestJob job_;
};

TEST_F(WrittenFilesTest, UnchangedFilePassesEveryPolicy) {
  Add("a", "1234", 4, false);
  for (const v1::OutputPolicy policy :
       {v1::OUTPUT_POLICY_TRUNCATE, v1::OUTPUT_POLICY_APPEND,
        v1::OUTPUT_POLICY_FAIL, v1::OUTPUT_POLICY_UNSPECIFIED}) {
    const auto cuts = Plan(policy);
    ASSERT_TRUE(cuts.ok()) << cuts.status();
    EXPECT_TRUE(cuts->empty());
  }
}

TEST_F(WrittenFilesTest, TruncateCutsGrownFilesOnlyWhenTold) {
  const std::string path = Add("a", "123456", 4, false);
  const std::string log = Add("log", "123", 1, true);

  const auto cuts = Plan(v1::OUTPUT_POLICY_TRUNCATE);

  ASSERT_TRUE(cuts.ok()) << cuts.status();
  ASSERT_EQ(cuts->size(), 2U);
  EXPECT_EQ((*cuts)[0].from_bytes(), 6U);
  EXPECT_EQ((*cuts)[0].to_bytes(), 4U);
  EXPECT_EQ(ReadFile(path).value(), "123456");
  ASSERT_TRUE(CutBack(dir_.path(), *cuts).ok());
  EXPECT_EQ(ReadFile(path).value(), "1234");
  EXPECT_EQ(ReadFile(log).value(), "1");
}

TEST_F(WrittenFilesTest, NoLinkIsFollowedToCutAFile) {
  const std::string other = dir_.File("other");
  std::ofstream(other) << "123456";
  const std::string path = Add("a", "123456", 4, false);
  const auto cuts = Plan(v1::OUTPUT_POLICY_TRUNCATE);
  ASSERT_TRUE(cuts.ok()) << cuts.status();

  ASSERT_EQ(::unlink(path.c_str()), 0);
  ASSERT_EQ(::symlink(other.c_str(), path.c_str()), 0);

  EXPECT_TRUE(absl::IsFailedPrecondition(CutBack(dir_.path(), *cuts)));
  ExpectRefused(v1::OUTPUT_POLICY_TRUNCATE, "behind a symbolic link");
  EXPECT_EQ(ReadFile(other).value(), "123456");
}

TEST_F(WrittenFilesTest, NoLinkedDirectoryIsEnteredToCutAFile) {
  ASSERT_EQ(::mkdir(dir_.File("real").c_str(), 0700), 0);
  ASSERT_EQ(::symlink("real", dir_.File("linked").c_str()), 0);
  Add("linked/a", "123456", 4, false);
  ExpectRefused(v1::OUTPUT_POLICY_TRUNCATE, "behind a symbolic link");
  EXPECT_EQ(ReadFile(dir_.File("real/a")).value(), "123456");
}

TEST_F(WrittenFilesTest, FileThatHasChangedSinceIsNotCut) {
  const std::string path = Add("a", "123456", 4, false);
  const auto cuts = Plan(v1::OUTPUT_POLICY_TRUNCATE);
  ASSERT_TRUE(cuts.ok()) << cuts.status();
  std::ofstream(path, std::ios::app) << "7";
  EXPECT_TRUE(absl::IsFailedPrecondition(CutBack(dir_.path(), *cuts)));
  EXPECT_EQ(ReadFile(path).value(), "1234567");
}

TEST_F(WrittenFilesTest, AppendLeavesLogsAndRefusesOthers) {
  Add("log", "123456", 4, true);
  ASSERT_TRUE(Plan(v1::OUTPUT_POLICY_APPEND)->empty());
  ASSERT_TRUE(Plan(v1::OUTPUT_POLICY_UNSPECIFIED)->empty());

  Add("data", "123456", 4, false);
  ExpectRefused(v1::OUTPUT_POLICY_APPEND, "/data");
  ExpectRefused(v1::OUTPUT_POLICY_UNSPECIFIED, "had 4 in the image");
}

TEST_F(WrittenFilesTest, FailRefusesGrownLogsToo) {
  Add("log", "123456", 4, true);
  ExpectRefused(v1::OUTPUT_POLICY_FAIL, "has 6 bytes here");
}

TEST_F(WrittenFilesTest, LostOutputIsRefusedByEveryNamedPolicy) {
  Add("log", "12", 4, true);
  ExpectRefused(v1::OUTPUT_POLICY_TRUNCATE, "/log");
  ExpectRefused(v1::OUTPUT_POLICY_APPEND, "/log");
  ExpectRefused(v1::OUTPUT_POLICY_FAIL, "/log");
  EXPECT_TRUE(Plan(v1::OUTPUT_POLICY_UNSPECIFIED).ok());
}

}  // namespace
}  // namespace ckpt::restore
