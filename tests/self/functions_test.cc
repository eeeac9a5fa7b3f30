// Every function of ckpt.h, called from C, C++ and Python, with a tree of fifty
// processes: twice each, in the process that asked and after a restart.

#include <fcntl.h>
#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

constexpr int kChildren = 49;

struct Language {
  std::string name;
  std::vector<std::string> command;  // the last is a runfile
};

class FunctionsTest : public testing::TestWithParam<Language> {
 protected:
  void SetUp() override {
    BecomeReaper();
    auto group = TestCgroup::Create(CgroupVersion::kV2);
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
    Job::Options options;
    options.argv = GetParam().command;
    options.argv.back() = RunfilesPath(options.argv.back());
    options.argv.insert(options.argv.end(),
                        {status_path_, ckpt_.store(), CkptRunner::Binary(),
                         go_path_, absl::StrCat(kChildren)});
    options.env = {
        absl::StrCat("LIBCKPT=", RunfilesPath("libckpt/libckpt.so.0"))};
    options.output_path = log_path_;
    options.cgroups = {group_.get()};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    pid_ = job->pid();
  }

  void Go(int call) {
    const auto file =
        OpenAt(AT_FDCWD, absl::StrCat(go_path_, ".", call), O_WRONLY | O_CREAT);
    ASSERT_TRUE(file.ok()) << file.status();
  }

  // The next line, which must come within a minute.
  std::string NextLine() {
    const absl::Time deadline = Soon();
    while (Clock::Real().Now() < deadline) {
      std::vector<std::string> lines =
          absl::StrSplit(ReadFile(status_path_).value_or(""), '\n');
      if (lines.size() > seen_ + 1) return lines[seen_++];
      Clock::Real().Sleep(absl::Milliseconds(2));
    }
    return absl::StrCat("nothing: ", ReadFile(log_path_).value_or(""));
  }

  std::string Image(int number) const {
    return absl::StrCat(ckpt_.store(), "/job.", number);
  }

  void ExpectCall(int call, int number, int restarts) {
    const bool async = call % 2 == 0;
    EXPECT_EQ(NextLine(), "callback before");
    EXPECT_EQ(NextLine(), absl::StrCat("callback after ", number));
    EXPECT_EQ(NextLine(),
              absl::StrCat("call ", call, " ", number, " restarts ", restarts,
                           " image ", Image(number), " error "));
    if (async) {
      EXPECT_EQ(NextLine(), absl::StrCat("wait ", call, " ", number, " image ",
                                         Image(number)));
    }
    EXPECT_EQ(NextLine(), "beat");
  }

  void ExpectRestart(int call, int number, int restarts) {
    EXPECT_EQ(NextLine(), "callback restart");
    EXPECT_EQ(NextLine(), absl::StrCat("call ", call, " 0 restarts ", restarts,
                                       " image ", Image(number), " error "));
    EXPECT_EQ(NextLine(), "beat");
  }

  void EndAndRestore(int number) {
    const auto tree = ProcessTree(ProcFs::Real(), pid_);
    ASSERT_TRUE(tree.ok()) << tree.status();
    EXPECT_EQ(tree->size(), kChildren + 1U);
    ASSERT_EQ(group_->KillAll(Soon()), absl::OkStatus());
    ASSERT_EQ(WaitUntilGone(*tree, Soon()), absl::OkStatus());
    const CommandResult result = ckpt_.Run(
        {"restore", "--cgroup", group_->path(), absl::StrCat("job.", number)});
    ASSERT_EQ(result.exit_status, 0) << result.err;
  }

  CkptRunner ckpt_;
  const std::string status_path_ = ckpt_.dir().File("status");
  const std::string log_path_ = ckpt_.dir().File("log");
  const std::string go_path_ = ckpt_.dir().File("go");
  std::unique_ptr<TestCgroup> group_;
  pid_t pid_ = 0;
  size_t seen_ = 0;  // lines
};

INSTANTIATE_TEST_SUITE_P(
    All, FunctionsTest,
    testing::Values(Language{"C", {"tests/self/functions_job_c"}},
                    Language{"Cxx", {"tests/self/functions_job_cxx"}},
                    Language{
                        "Python",
                        {"/usr/bin/python3", "tests/self/functions_job.py"}}),
    [](const auto& info) { return info.param.name; });

TEST_P(FunctionsTest, ReturnWhatTheHeaderSays) {
  EXPECT_EQ(NextLine(), "early wait -1 ECHILD");
  EXPECT_EQ(NextLine(), "unregister 0, then again: -1 ENOENT");
  ASSERT_EQ(NextLine(), "ready");
  for (const int call : {1, 2}) {
    ASSERT_NO_FATAL_FAILURE(Go(call));
    ASSERT_NO_FATAL_FAILURE(ExpectCall(call, call, 0));
  }
  ASSERT_NO_FATAL_FAILURE(EndAndRestore(2));
  ASSERT_NO_FATAL_FAILURE(ExpectRestart(2, 2, 1));
  ASSERT_NO_FATAL_FAILURE(Go(3));
  ASSERT_NO_FATAL_FAILURE(ExpectCall(3, 3, 1));
  ASSERT_NO_FATAL_FAILURE(EndAndRestore(3));
  ASSERT_NO_FATAL_FAILURE(ExpectRestart(3, 3, 2));
}

}  // namespace
}  // namespace ckpt
