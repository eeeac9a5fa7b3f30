#include "run/launcher.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "tests/support/test_cgroup.h"
#include "tests/support/test_dir.h"

namespace ckpt::run {
namespace {

class LauncherTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = TestCgroup::Create(CgroupVersion::kV2);
    ASSERT_TRUE(made.ok()) << made.status();
    test_group_ = *std::move(made);
    auto group = freezer::OpenCgroup(test_group_->path());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }

  LaunchOptions Options(const std::string& script) const {
    LaunchOptions options;
    options.program = "/bin/sh";
    options.argv = {"sh", "-c", script};
    options.env = {"PATH=/usr/bin:/bin", "COLOUR=blue"};
    options.group = group_.get();
    options.output = dir_.File("out");
    options.error_output = dir_.File("err");
    options.directory = dir_.path();
    return options;
  }

  // The exit status of a script, -1 if it cannot be started.
  int Run(const std::string& script) const {
    const auto pid = Launch(Options(script));
    EXPECT_TRUE(pid.ok()) << pid.status();
    return pid.ok() ? Wait(*pid) : -1;
  }

  static int Wait(pid_t pid) {
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::string Output() const { return *ReadFile(dir_.File("out")); }

  TestDir dir_;
  std::unique_ptr<TestCgroup> test_group_;
  std::unique_ptr<freezer::Cgroup> group_;
};

TEST_F(LauncherTest, ExitStatusIsTheCommands) {
  EXPECT_EQ(Run("exit 0"), 0);
  EXPECT_EQ(Run("exit 7"), 7);
}

TEST_F(LauncherTest, DeathBySignalIsTheStatusThatAShellGivesIt) {
  EXPECT_EQ(Run("kill -KILL $$"), 128 + SIGKILL);
}

TEST_F(LauncherTest, CommandThatIsMissingOrNoProgramIsTold) {
  LaunchOptions options = Options("");
  options.program = dir_.File("nothing");
  auto pid = Launch(options);
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_EQ(Wait(*pid), 127);

  options.program = dir_.path();
  pid = Launch(options);
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_EQ(Wait(*pid), 126);
}

TEST_F(LauncherTest, JobIsInItsGroupAndHasANamespaceOfItsOwn) {
  ASSERT_EQ(Run("cat /proc/self/cgroup; echo pid $$"), 0);

  EXPECT_TRUE(absl::StrContains(
      Output(), test_group_->path().substr(test_group_->path().rfind('/'))))
      << Output();
  EXPECT_TRUE(absl::StrContains(Output(), "pid 2\n")) << Output();
}

TEST_F(LauncherTest, JobHasOnlyItsThreeDescriptors) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);

  // The fourth is that of ls.
  ASSERT_EQ(Run("ls /proc/self/fd | wc -l"), 0);

  EXPECT_EQ(Output(), "4\n");
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(LauncherTest, EnvironmentIsWhatWasGiven) {
  ASSERT_EQ(Run("echo $COLOUR; env | grep -c TEST_"), 1);
  EXPECT_EQ(Output(), "blue\n0\n");
}

TEST_F(LauncherTest, OrphansAreReaped) {
  // The inner shell's child outlives it and becomes the init's.
  ASSERT_EQ(Run("sh -c 'sleep 0.01 & echo $! >" + dir_.File("pid") +
                "'; while kill -0 $(cat " + dir_.File("pid") +
                ") 2>/dev/null; do :; done; echo gone"),
            0);
  EXPECT_EQ(Output(), "gone\n");
}

TEST_F(LauncherTest, SignalsReachTheWholeProcessGroup) {
  const std::string fifo = dir_.File("fifo");
  const auto pid = Launch(Options(
      absl::StrCat("mkfifo ", fifo, "; trap 'echo shell' TERM; ",
                   "sh -c 'trap \"echo child; exit\" TERM; echo >", fifo,
                   "; while :; do sleep 0.01; done' & read x <", fifo,
                   "; echo >", dir_.File("ready"), "; wait; wait")));
  ASSERT_TRUE(pid.ok()) << pid.status();
  while (!ReadFile(dir_.File("ready")).ok()) ::usleep(1000);

  ASSERT_EQ(::kill(*pid, SIGTERM), 0);

  EXPECT_EQ(Wait(*pid), 0);
  EXPECT_TRUE(absl::StrContains(Output(), "shell\n")) << Output();
  EXPECT_TRUE(absl::StrContains(Output(), "child\n")) << Output();
}

TEST_F(LauncherTest, NoFileOfTheInitStays) {
  ASSERT_EQ(Run("exit 0"), 0);
  EXPECT_FALSE(ReadFile(dir_.File("init")).ok());
}

TEST(FindProgramTest, NameIsLookedUpInPathAndAPathIsTaken) {
  EXPECT_EQ(FindProgram("/bin/sh").value_or(""), "/bin/sh");
  const auto shell = FindProgram("sh");
  ASSERT_TRUE(shell.ok()) << shell.status();
  EXPECT_TRUE(absl::EndsWith(*shell, "/sh"));
  EXPECT_TRUE(absl::IsNotFound(FindProgram("no-such-program").status()));
  EXPECT_TRUE(absl::IsNotFound(FindProgram("/no/such/program").status()));
}

TEST(FindProgramTest, WhatCannotBeExecutedIsTold) {
  const TestDir dir;
  ASSERT_TRUE(std::ofstream(dir.File("data")).good());
  EXPECT_TRUE(absl::IsPermissionDenied(FindProgram(dir.File("data")).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(FindProgram(dir.path()).status()));
}

}  // namespace
}  // namespace ckpt::run
