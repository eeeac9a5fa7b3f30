// A job of `ckpt run` checkpoints itself: all of it, into its own images, from
// which the same line goes on.

#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/e2e/running_ckpt.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

class SelfRunTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    BecomeReaper();
    auto group = TestCgroup::Create(GetParam());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }

  // The same line each time: what the batch system does.
  void Run() {
    std::vector<std::string> words = {"run",        "--name",       name_,
                                      "--cgroup",   group_->path(), "--store",
                                      ckpt_.store()};
    words.insert(words.end(), run_options_.begin(), run_options_.end());
    words.insert(words.end(), {"--", RunfilesPath("tests/self/self_job")});
    words.insert(words.end(), job_words_.begin(), job_words_.end());
    words.insert(words.end(),
                 {status_path_, ckpt_.store(), CkptRunner::Binary()});
    run_ = std::make_unique<RunningCkpt>(ckpt_.CommandLine(words), "");
  }

  // SIGKILL; the guardian ends the job.
  void KillRun() {
    run_->Signal(SIGKILL);
    (void)run_->Wait();
  }

  // The next line, after those returned before, that begins with `start`.
  std::string AwaitLine(const std::string& start) {
    const absl::Time deadline = Soon();
    while (Clock::Real().Now() < deadline) {
      const std::vector<std::string> lines =
          absl::StrSplit(ReadFile(status_path_).value_or(""), '\n');
      for (; seen_ + 1 < lines.size(); ++seen_) {
        if (absl::StartsWith(lines[seen_], start)) return lines[seen_++];
      }
      Clock::Real().Sleep(absl::Milliseconds(2));
    }
    return absl::StrCat("nothing: ", run_->ReadErrors());
  }

  void ExpectCall(int call, int result, int restarts, int image) {
    EXPECT_EQ(
        AwaitLine("call"),
        absl::StrCat("call ", call, " ", result, " 0 restarts ", restarts,
                     " image ", ckpt_.store(), "/", name_, ".", image, ": "));
  }

  CkptRunner ckpt_;
  const std::string name_ =
      ckpt_.dir().path().substr(ckpt_.dir().path().rfind('/') + 1);
  const std::string status_path_ = ckpt_.dir().File("status");
  std::unique_ptr<TestCgroup> group_;
  std::vector<std::string> run_options_, job_words_;
  std::unique_ptr<RunningCkpt> run_;
  size_t seen_ = 0;  // lines
};

INSTANTIATE_TEST_SUITE_P(All, SelfRunTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

TEST_P(SelfRunTest, TheSameLineGoesOnFromTheJobsOwnCheckpoint) {
  job_words_ = {"--threads", "2", "--children", "2"};
  ASSERT_NO_FATAL_FAILURE(Run());
  ExpectCall(1, 1, 0, 1);
  EXPECT_EQ(AwaitLine("trace"), "trace same");
  EXPECT_EQ(AwaitLine("beat"), "beat");
  KillRun();

  ASSERT_NO_FATAL_FAILURE(Run());

  ExpectCall(1, 0, 1, 1);
  EXPECT_EQ(AwaitLine("trace"), "trace same");
  EXPECT_EQ(AwaitLine("beat"), "beat");
}

TEST_P(SelfRunTest, AsyncIsFinishedByTheSupervisor) {
  job_words_ = {"--async", "--children", "1"};
  ASSERT_NO_FATAL_FAILURE(Run());
  ExpectCall(1, 1, 0, 1);
  EXPECT_EQ(AwaitLine("wait"), absl::StrCat("wait 1 1 0 image ", ckpt_.store(),
                                            "/", name_, ".1: "));
  KillRun();

  ASSERT_NO_FATAL_FAILURE(Run());

  ExpectCall(1, 0, 1, 1);
}

TEST_P(SelfRunTest, ExitEndsTheJobInItsImage) {
  job_words_ = {"--exit"};
  ASSERT_NO_FATAL_FAILURE(Run());
  EXPECT_EQ(run_->Wait(), 85) << run_->ReadErrors();

  ASSERT_NO_FATAL_FAILURE(Run());

  ExpectCall(1, 0, 1, 1);
  EXPECT_EQ(AwaitLine("beat"), "beat");
}

TEST_P(SelfRunTest, CallsAndScheduleDoNotMeet) {
  run_options_ = {"--every", "30ms"};
  job_words_ = {"--times", "5", "--children", "2"};
  ASSERT_NO_FATAL_FAILURE(Run());
  for (int call = 1; call <= 5; ++call) {
    const std::string line = AwaitLine("call");
    EXPECT_TRUE(absl::StartsWith(line, absl::StrCat("call ", call, " ")) &&
                absl::StrContains(line, " 0 restarts 0 "))
        << line;
    EXPECT_EQ(AwaitLine("trace"), "trace same");
  }
}

TEST_P(SelfRunTest, FailureIsTold) {
  job_words_ = {"--times", "2"};
  run_options_ = {"--timeout", "1ms"};
  ASSERT_NO_FATAL_FAILURE(Run());
  const std::string line = AwaitLine("call");
  EXPECT_TRUE(absl::StartsWith(line, "call 1 -1 ETIMEDOUT ")) << line;
  EXPECT_EQ(AwaitLine("trace"), "trace same");
}

}  // namespace
}  // namespace ckpt
