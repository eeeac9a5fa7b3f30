#include "tests/support/job.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "base/file.h"
#include "base/proc.h"
#include "gtest/gtest.h"
#include "tests/support/test_dir.h"

namespace ckpt {
namespace {

absl::Time Soon() { return Clock::Real().Now() + absl::Minutes(1); }

class JobTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string why = WhyNoCgroup(CgroupVersion::kV1);
    if (!why.empty()) GTEST_SKIP() << why;
    BecomeReaper();
    auto group = TestCgroup::Create(CgroupVersion::kV1);
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }

  absl::StatusOr<Job> Start(const std::vector<std::string>& argv) {
    Job::Options options;
    options.argv = argv;
    options.env = {"NAME=value"};
    options.cgroups = {group_.get()};
    options.output_path = dir_.File("output");
    return Job::Start(options);
  }

  TestDir dir_;
  std::unique_ptr<TestCgroup> group_;
};

TEST_F(JobTest, StartsASessionLeaderInItsGroupThatIsOurOrphan) {
  const auto job = Start({"/bin/sleep", "1000"});
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(group_->Processes(), std::vector<pid_t>{job->pid()});
  const auto stat = ProcFs::Real().Stat(job->pid());
  ASSERT_TRUE(stat.ok());
  EXPECT_EQ(stat->sid, job->pid());
  EXPECT_EQ(stat->ppid, ::getpid());
  EXPECT_EQ(stat->comm, "sleep");
}

TEST_F(JobTest, HasNoDescriptorOfTheTests) {
  const auto job = Start({"/bin/sleep", "1000"});
  ASSERT_TRUE(job.ok()) << job.status();
  const auto files = ProcFs::Real().OpenFiles(job->pid());
  ASSERT_TRUE(files.ok());
  std::vector<std::string> targets;
  for (const OpenFile& file : *files) targets.push_back(file.target);
  EXPECT_EQ(targets, (std::vector<std::string>{"/dev/null", dir_.File("output"),
                                               dir_.File("output")}));
}

TEST_F(JobTest, PassesOnlyTheGivenEnvironment) {
  const auto job = Start({"/usr/bin/env"});
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(WaitUntilGone({job->pid()}, Soon()).ok());
  EXPECT_EQ(*ReadFile(dir_.File("output")), "NAME=value\n");
}

TEST_F(JobTest, TellsWhyAProgramCannotBeStarted) {
  EXPECT_EQ(Start({"/nowhere/program"}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_TRUE(group_->Processes().empty());
}

TEST_F(JobTest, TreeHasTheChildren) {
  const auto job = Start({"/bin/sh", "-c", "sleep 1000 & echo; wait"});
  ASSERT_TRUE(job.ok()) << job.status();
  const absl::Time deadline = Soon();
  while (job->Tree()->size() < 2) {
    ASSERT_LT(Clock::Real().Now(), deadline);
    Clock::Real().Sleep(absl::Milliseconds(1));
  }
  EXPECT_EQ(job->Tree()->front(), job->pid());
}

TEST_F(JobTest, WaitUntilGoneReapsAWholeTree) {
  const auto job = Start({"/bin/sh", "-c", "sleep 1000 & wait"});
  ASSERT_TRUE(job.ok()) << job.status();
  const std::vector<pid_t> tree = *job->Tree();
  for (const pid_t pid : tree) ::kill(pid, SIGKILL);
  EXPECT_TRUE(WaitUntilGone(tree, Soon()).ok());
  EXPECT_EQ(job->Tree().status().code(), absl::StatusCode::kNotFound);
}

TEST_F(JobTest, WaitUntilGoneReapsZombiesThatHoldASession) {
  // The shell does not reap its child; when it is killed, both are ours.
  const auto job = Start({"/bin/sh", "-c", "sleep 0 & exec sleep 1000"});
  ASSERT_TRUE(job.ok()) << job.status();
  const absl::Time deadline = Soon();
  while (group_->Processes().size() > 1 || job->Tree()->size() < 2) {
    ASSERT_LT(Clock::Real().Now(), deadline);
  }
  const pid_t zombie = job->Tree()->back();
  ASSERT_TRUE(group_->KillAll(Soon()).ok());
  EXPECT_TRUE(WaitUntilGone({job->pid()}, Soon()).ok());
  EXPECT_EQ(ProcFs::Real().Stat(zombie).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(JobTest, WaitUntilGoneNamesWhoStays) {
  const auto job = Start({"/bin/sleep", "1000"});
  ASSERT_TRUE(job.ok()) << job.status();
  const absl::Status status = WaitUntilGone({job->pid()}, Clock::Real().Now());
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(absl::StrContains(status.message(), "(sleep)")) << status;
}

TEST_F(JobTest, ReapAllReapsOrphans) {
  const auto job = Start({"/bin/true"});
  ASSERT_TRUE(job.ok()) << job.status();
  const absl::Time deadline = Soon();
  std::vector<pid_t> reaped;
  while (std::find(reaped.begin(), reaped.end(), job->pid()) == reaped.end()) {
    ASSERT_LT(Clock::Real().Now(), deadline);
    reaped = ReapAll();
  }
}

TEST_F(JobTest, CommandsJoinTheGivenGroups) {
  CommandOptions options;
  options.cgroups = {group_.get()};
  const auto result = RunCommand({"cat", "/proc/self/cgroup"}, options);
  ASSERT_TRUE(result.ok()) << result.status();
  const std::string name = group_->path().substr(group_->path().rfind('/') + 1);
  EXPECT_TRUE(absl::StrContains(result->out, ":freezer:/" + name + "\n"))
      << result->out;
}

TEST(RunCommandTest, ReturnsOutputAndStatus) {
  const auto result =
      RunCommand({"sh", "-c", "echo to stdout; echo to stderr >&2; exit 7"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_status, 7);
  EXPECT_EQ(result->out, "to stdout\n");
  EXPECT_EQ(result->err, "to stderr\n");
}

TEST(RunCommandTest, ReturnsMoreOutputThanAPipeHolds) {
  const auto result = RunCommand({"head", "-c", "1000000", "/dev/zero"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->out.size(), 1'000'000u);
}

TEST(RunCommandTest, AddsToTheEnvironment) {
  CommandOptions options;
  options.env = {"PATH=/bin", "OTHER=x"};
  const auto result =
      RunCommand({"/bin/sh", "-c", "echo $PATH $OTHER"}, options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->out, "/bin x\n");
}

TEST(RunCommandTest, TellsTheSignalThatEndedIt) {
  const auto result = RunCommand({"sh", "-c", "kill -TERM $$"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_status, 128 + SIGTERM);
}

TEST(RunCommandTest, DoesNotWaitForWhatTheCommandLeaves) {
  BecomeReaper();
  const auto result = RunCommand({"sh", "-c", "sleep 1000 & echo $!"});
  ASSERT_TRUE(result.ok()) << result.status();
  const pid_t left = std::stoi(result->out);
  EXPECT_EQ(::kill(left, SIGKILL), 0);
  EXPECT_TRUE(WaitUntilGone({left}, Soon()).ok());
}

TEST(RunCommandTest, KillsAtTheDeadline) {
  CommandOptions options;
  options.timeout = absl::Milliseconds(50);
  const auto result =
      RunCommand({"sh", "-c", "echo begun; sleep 1000"}, options);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(absl::StrContains(result.status().message(), "sleep 1000"));
}

TEST(RunCommandTest, TellsThatThereIsNoSuchCommand) {
  EXPECT_EQ(RunCommand({"/nowhere/command"}).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace ckpt
