// A report that cannot be written, because the disk is full or nobody reads it
// any more, is told by the exit status, and does not hide what was done.

#include <sys/stat.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {
namespace {

constexpr int kInternal = static_cast<int>(absl::StatusCode::kInternal);
// In a table of so many tasks the report is larger than stdio's buffer.
constexpr int kTasks = 120;

class FullOutputTest : public testing::Test {
 protected:
  void SetUp() override {
    BecomeReaper();
    auto group = TestCgroup::Create(CgroupVersion::kV2);
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }

  void AddTask() {
    const auto job = Job::Start(
        {.argv = {"/bin/sleep", "1000"}, .env = {}, .cgroups = {group_.get()}});
    ASSERT_TRUE(job.ok()) << job.status();
  }

  // By a shell, after `redirect`.
  CommandResult Ckpt(const std::string& redirect,
                     const std::vector<std::string>& words) {
    std::vector<std::string> argv = {"/bin/sh", "-c", redirect + "exec \"$@\"",
                                     "sh"};
    for (const std::string& word : ckpt_.CommandLine(words)) {
      argv.push_back(word);
    }
    argv.insert(argv.end(), {"--cgroup", group_->path()});
    const auto result = RunCommand(argv, {});
    if (result.ok()) return *result;
    ADD_FAILURE() << result.status();
    return {.exit_status = -1, .out = "", .err = ""};
  }

  CkptRunner ckpt_;
  std::unique_ptr<TestCgroup> group_;
};

TEST_F(FullOutputTest, ReportThatDoesNotFitIsAnErrorHoweverLargeItIs) {
  for (int tasks = 0; tasks < kTasks; ++tasks) AddTask();
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"status"}, {"status", "--json"}}) {
    const CommandResult result = Ckpt("exec >/dev/full; ", words);
    EXPECT_EQ(result.exit_status, kInternal);
    EXPECT_TRUE(absl::StrContains(result.err, "No space left on device"))
        << result.err;
  }
}

TEST_F(FullOutputTest, WhatWasDoneIsToldThoughNobodyReadsTheReport) {
  AddTask();
  const std::string pipe = ckpt_.dir().File("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  // Opened for both ends first, which does not wait; then its reader goes.
  const CommandResult result =
      Ckpt("exec 3<>" + pipe + " >" + pipe + " 3<&-; ", {"kill"});
  EXPECT_EQ(result.exit_status, kInternal);
  EXPECT_TRUE(absl::StrContains(result.err, "done, but the report"))
      << result.err;
  EXPECT_TRUE(group_->Processes().empty());
}

}  // namespace
}  // namespace ckpt
