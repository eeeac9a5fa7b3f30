// A job that was left running goes on writing; then its image is restored.

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {
namespace {

class OutputPolicyTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    BecomeReaper();
    auto group = TestCgroup::Create(GetParam());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }

  // A job that counts into its file, dumped and then killed some lines later.
  void DumpThenWriteOnAndEnd(const std::string& redirection) {
    Job::Options options;
    options.argv = {
        "/bin/sh", "-c",
        absl::StrCat("i=0; while sleep 0.001; do i=$((i+1)); echo $i; done ",
                     redirection, " ", file_)};
    options.cgroups = {group_.get()};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    WaitForMore();
    // The shell may just be starting its sleep.
    CommandResult dump;
    do {
      dump = ckpt_.Run({"dump", "--cgroup", group_->path(), "--image", "a",
                        "--leave-running"});
    } while (absl::StrContains(dump.err, "vfork"));
    ASSERT_EQ(dump.exit_status, 0) << dump.err;
    WaitForMore();
    const auto tree = job->Tree();
    ASSERT_TRUE(tree.ok()) << tree.status();
    ASSERT_EQ(group_->KillAll(Soon()), absl::OkStatus());
    ASSERT_EQ(WaitUntilGone(*tree, Soon()), absl::OkStatus());
  }

  size_t Size() const { return ReadFile(file_).value_or("").size(); }

  void WaitForMore() const {
    const size_t size = Size();
    while (Size() < size + 10) Clock::Real().Sleep(absl::Milliseconds(1));
  }

  // "1\n2\n3\n...", however far.
  bool CountsWithoutGapOrRepetition() const {
    const std::string text = ReadFile(file_).value_or("");
    std::string expected;
    for (int i = 1; expected.size() < text.size(); ++i) {
      absl::StrAppend(&expected, i, "\n");
    }
    return absl::StartsWith(expected, text);
  }

  CommandResult Restore(const std::string& policy) {
    return ckpt_.Run({"restore", "a", "--output-policy", policy});
  }

  CkptRunner ckpt_;
  const std::string file_ = ckpt_.dir().File("numbers");
  std::unique_ptr<TestCgroup> group_;
};

INSTANTIATE_TEST_SUITE_P(All, OutputPolicyTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

TEST_P(OutputPolicyTest, TruncateMakesAGrownFileGoOnWhereTheImageIs) {
  ASSERT_NO_FATAL_FAILURE(DumpThenWriteOnAndEnd(">"));

  const CommandResult result = Restore("truncate");

  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, "cut back")) << result.out;
  EXPECT_TRUE(absl::StrContains(result.out, file_)) << result.out;
  WaitForMore();
  EXPECT_TRUE(CountsWithoutGapOrRepetition());
}

TEST_P(OutputPolicyTest, TruncateCutsALogToo) {
  ASSERT_NO_FATAL_FAILURE(DumpThenWriteOnAndEnd(">>"));

  const CommandResult result = Restore("truncate");

  ASSERT_EQ(result.exit_status, 0) << result.err;
  WaitForMore();
  EXPECT_TRUE(CountsWithoutGapOrRepetition());
}

TEST_P(OutputPolicyTest, AppendLeavesALogAsItIs) {
  ASSERT_NO_FATAL_FAILURE(DumpThenWriteOnAndEnd(">>"));
  const std::string before = ReadFile(file_).value();

  const CommandResult result = Restore("append");

  ASSERT_EQ(result.exit_status, 0) << result.err;
  WaitForMore();
  EXPECT_TRUE(absl::StartsWith(ReadFile(file_).value(), before));
  EXPECT_FALSE(CountsWithoutGapOrRepetition());
}

TEST_P(OutputPolicyTest, FailRefusesAndTouchesNothing) {
  ASSERT_NO_FATAL_FAILURE(DumpThenWriteOnAndEnd(">>"));
  const std::string before = ReadFile(file_).value();

  const CommandResult result = Restore("fail");

  EXPECT_EQ(result.exit_status,
            static_cast<int>(absl::StatusCode::kFailedPrecondition));
  EXPECT_TRUE(absl::StrContains(result.err, file_)) << result.err;
  EXPECT_EQ(ReadFile(file_).value(), before);
}

}  // namespace
}  // namespace ckpt
