// The example programs in C, C++ and Python: killed after a checkpoint and
// restored, they come to the right end.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
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

constexpr absl::Duration kPollInterval = absl::Milliseconds(2);

class ExamplesTest : public testing::Test {
 protected:
  void SetUp() override {
    BecomeReaper();
    auto group = TestCgroup::Create(CgroupVersion::kV2);
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }

  // `interpreter` may be "".
  void Start(const std::string& interpreter, const std::string& program,
             const std::vector<std::string>& more = {}) {
    Job::Options options;
    if (!interpreter.empty()) options.argv = {interpreter};
    options.argv.insert(options.argv.end(),
                        {RunfilesPath("libckpt/examples/" + program), "image",
                         ckpt_.store(), output_});
    options.argv.insert(options.argv.end(), more.begin(), more.end());
    options.env = {
        absl::StrCat("CKPT_BINARY=", CkptRunner::Binary()),
        absl::StrCat("LIBCKPT=", RunfilesPath("libckpt/libckpt.so.0"))};
    options.output_path = log_;
    options.cgroups = {group_.get()};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    pid_ = job->pid();
  }

  static std::string Read(const std::string& path) {
    const auto text = ReadFile(path);
    return text.ok() ? *text : "";
  }

  // Until the file has `text`; false when it has not in a minute.
  static bool Await(const std::string& path, const std::string& text) {
    const absl::Time deadline = Soon();
    while (!absl::StrContains(Read(path), text)) {
      if (Clock::Real().Now() > deadline) return false;
      Clock::Real().Sleep(kPollInterval);
    }
    return true;
  }

  void Kill() {
    ASSERT_EQ(group_->KillAll(Soon()), absl::OkStatus());
    AwaitEnd();
  }

  void AwaitEnd() {
    const std::vector<pid_t> pids = {pid_};
    ASSERT_EQ(WaitUntilGone(pids, Soon()), absl::OkStatus());
  }

  void Restore(const std::string& image) {
    const CommandResult result =
        ckpt_.Run({"restore", "--cgroup", group_->path(), image});
    ASSERT_EQ(result.exit_status, 0) << result.err;
  }

  CkptRunner ckpt_;
  const std::string output_ = ckpt_.dir().File("output");
  const std::string log_ = ckpt_.dir().File("log");
  std::unique_ptr<TestCgroup> group_;
  pid_t pid_ = 0;
};

TEST_F(ExamplesTest, SolverInCComesToTheSameResult) {
  const std::vector<std::string> small = {"2", "3"};
  ASSERT_NO_FATAL_FAILURE(Start("", "solver", small));
  ASSERT_NO_FATAL_FAILURE(AwaitEnd());
  const std::string expected = Read(output_);
  EXPECT_TRUE(absl::StrContains(expected, "pi 3.14")) << Read(log_);

  ASSERT_NO_FATAL_FAILURE(Restore("image.2"));
  EXPECT_TRUE(Await(log_, "restarted from"));
  ASSERT_NO_FATAL_FAILURE(AwaitEnd());

  EXPECT_EQ(Read(output_), expected);
}

TEST_F(ExamplesTest, PhasesInCxxGoesOnAfterItsExit) {
  ASSERT_NO_FATAL_FAILURE(Start("", "phases"));
  ASSERT_NO_FATAL_FAILURE(AwaitEnd());
  EXPECT_EQ(Read(output_), "phase 1 done\n") << Read(log_);

  ASSERT_NO_FATAL_FAILURE(Restore("image.1"));
  ASSERT_NO_FATAL_FAILURE(AwaitEnd());

  EXPECT_EQ(Read(output_), "phase 1 done\nphase 2 done, the sum is 285\n");
}

TEST_F(ExamplesTest, PrimesInPythonCountsOn) {
  ASSERT_NO_FATAL_FAILURE(Start("/usr/bin/python3", "primes.py", {"20000"}));
  ASSERT_TRUE(Await(log_, "image.1 is on the disk")) << Read(log_);
  ASSERT_NO_FATAL_FAILURE(Kill());

  ASSERT_NO_FATAL_FAILURE(Restore("image.1"));
  ASSERT_NO_FATAL_FAILURE(AwaitEnd());

  EXPECT_TRUE(absl::StrContains(Read(log_), "restarted at 2000\n"));
  EXPECT_EQ(Read(output_), "below 20000 there are 2262 primes\n");
}

}  // namespace
}  // namespace ckpt
