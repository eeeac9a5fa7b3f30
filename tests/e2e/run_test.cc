// `ckpt run`: a batch system starts the same line again and again.

#include <signal.h>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/e2e/run_fixture.h"
#include "tests/e2e/running_ckpt.h"

namespace ckpt {
namespace {

class RunTest : public RunFixture {
 protected:
  // What `ckpt ps` tells of the job, among those of others; "" if nothing.
  std::string RowOfPs() const {
    std::string row;
    bool is_ours = false;
    const std::string text = ckpt_.Run({"ps"}).out;
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      // Continued by lines that are indented.
      if (!absl::StartsWith(line, " ")) {
        is_ours = absl::StartsWith(line, name_ + " ");
      }
      if (is_ours) absl::StrAppend(&row, line, "\n");
    }
    return row;
  }
};
CKPT_INSTANTIATE_RUN_TESTS(RunTest);

TEST_P(RunTest, OutputAndExitStatusAreTheCommands) {
  const CommandResult result =
      RunScript({}, "echo to out; echo to err >&2; exit 7");

  EXPECT_EQ(result.exit_status, 7);
  EXPECT_EQ(result.out, "to out\n");
  EXPECT_TRUE(absl::StrContains(result.err, "to err\n")) << result.err;
  EXPECT_TRUE(absl::StrContains(result.err, "afresh")) << result.err;
  ExpectNothingLeft();
}

TEST_P(RunTest, DeathBySignalIsTheStatusThatAShellGivesIt) {
  EXPECT_EQ(RunScript({}, "kill -KILL $$").exit_status, 128 + SIGKILL);
  ExpectNothingLeft();
}

TEST_P(RunTest, OwnFailuresHaveAStatusOfTheirOwn) {
  EXPECT_EQ(Run({"--freezer", "v3"}, {"true"}).exit_status, 125);
  EXPECT_EQ(Run({"--no-such-option"}, {"true"}).exit_status, 125);
  EXPECT_EQ(Run({"--name", "a/b"}, {"true"}).exit_status, 125);
}

TEST_P(RunTest, CommandThatCannotBeRunHasTheStatusThatAShellGivesIt) {
  const std::string data = ckpt_.dir().File("data");
  ASSERT_TRUE(std::ofstream(data).good());
  for (const auto& [command, status] :
       {std::pair<std::string, int>("no-such-program", 127),
        {ckpt_.dir().File("no-such-file"), 127},
        {data, 126},
        {"/tmp", 126}}) {
    const CommandResult result = Run({}, {command});
    EXPECT_EQ(result.exit_status, status) << command;
    EXPECT_TRUE(absl::StrContains(result.err, command)) << result.err;
    EXPECT_TRUE(absl::StrContains(result.err, "nothing was started"))
        << result.err;
  }
  ExpectNothingLeft();
}

TEST_P(RunTest, OutputThatCannotBeWrittenIsNamed) {
  const std::string path = ckpt_.dir().File("none") + "/out";

  const CommandResult result = Run({"--output", path}, {"true"});

  EXPECT_EQ(result.exit_status, 125);
  EXPECT_TRUE(absl::StrContains(result.err, path)) << result.err;
  ExpectNothingLeft();
}

TEST_P(RunTest, JobThatGoesOnPrintsWhereItDidBeforeAndThatIsTold) {
  {
    const auto run = Start({"--before-end"}, counting_);
    WaitForOutput();
    run->Signal(SIGTERM);
    ASSERT_EQ(run->Wait(), 85);
  }
  LetItEnd();

  const CommandResult again =
      RunScript({"--output", ckpt_.dir().File("o")}, counting_);

  EXPECT_EQ(again.exit_status, 0) << again.err;
  EXPECT_TRUE(absl::StrContains(again.err, "out as before, not to"))
      << again.err;
  EXPECT_FALSE(ReadFile(ckpt_.dir().File("o")).ok());
  ExpectCountsWithoutGap();
}

TEST_P(RunTest, FullStoreIsToldAndTheJobGoesOn) {
  const auto run =
      Start({"--every", "20ms"}, counting_, "store.before_manifest=enospc");
  while (!absl::StrContains(run->ReadErrors(), "checkpoint failed: ")) {
    Clock::Real().Sleep(absl::Milliseconds(1));
  }
  WaitForOutput();
  EXPECT_TRUE(absl::StrContains(RowOfPs(), "No space left"));
  EXPECT_FALSE(HasImage(1));
  LetItEnd();

  EXPECT_EQ(run->Wait(), 0) << run->ReadErrors();
  ExpectCountsWithoutGap();
}

TEST_P(RunTest, JobThatGoesOnIsListedWithTheImageThatItCameFrom) {
  {
    const auto run = Start({"--before-end"}, counting_);
    WaitForOutput();
    run->Signal(SIGTERM);
    ASSERT_EQ(run->Wait(), 85);
  }
  const auto again = Start({"--every", "1h"}, counting_);
  WaitForOutput();

  const std::string row = RowOfPs();

  // Both checkpoints have a date.
  EXPECT_TRUE(absl::StrContains(row, "running")) << row;
  EXPECT_FALSE(absl::StrContains(row, " - ")) << row;
  LetItEnd();
  EXPECT_EQ(again->Wait(), 0);
}

TEST_P(RunTest, OutputGoesToTheFilesThatAreNamed) {
  const CommandResult result = RunScript(
      {"--output", ckpt_.dir().File("o"), "--error", ckpt_.dir().File("e")},
      "echo to out; echo to err >&2");

  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(ReadFile(ckpt_.dir().File("o")).value_or(""), "to out\n");
  EXPECT_EQ(ReadFile(ckpt_.dir().File("e")).value_or(""), "to err\n");
  const auto logs = [&](std::vector<std::string> options) {
    options.insert(options.begin(), {"logs", name_, "--store", ckpt_.store()});
    return ckpt_.Run(options).out;
  };
  EXPECT_EQ(logs({}), "to out\n");
  EXPECT_EQ(logs({"--error"}), "to err\n");
}

TEST_P(RunTest, SignalsReachTheCommand) {
  const auto run = Start({}, "trap 'exit 3' USR1; " + counting_);
  WaitForOutput();

  run->Signal(SIGUSR1);

  EXPECT_EQ(run->Wait(), 3);
  ExpectNothingLeft();
}

TEST_P(RunTest, SecondOfANameIsRefused) {
  const auto run = Start({}, counting_);
  WaitForOutput();

  const CommandResult second = RunScript({}, counting_);

  EXPECT_EQ(second.exit_status, 125);
  EXPECT_TRUE(absl::StrContains(second.err, "runs")) << second.err;
  LetItEnd();
  EXPECT_EQ(run->Wait(), 0);
}

TEST_P(RunTest, GoesOnFromTheNewestImageAfterTheSupervisorWasKilled) {
  {
    const auto run = Start({"--every", "50ms"}, counting_);
    WaitForImage(2);
    WaitForOutput();
    run->Signal(SIGKILL);
    run->Wait();
  }
  const auto again = Start({"--every", "50ms"}, counting_);
  WaitForOutput();
  WaitForOutput();
  LetItEnd();

  EXPECT_EQ(again->Wait(), 0);
  const std::string errors = again->ReadErrors();
  EXPECT_TRUE(absl::StrContains(errors, "restored job")) << errors;
  ExpectCountsWithoutGap();
  ExpectNothingLeft();
}

TEST_P(RunTest, KilledSupervisorTakesItsJobAlong) {
  const auto run = Start({}, counting_);
  WaitForOutput();
  ASSERT_FALSE(group_->Processes().empty());

  run->Signal(SIGKILL);
  run->Wait();

  const absl::Time limit = Soon();
  while (!group_->Processes().empty() && Clock::Real().Now() < limit) {
    Clock::Real().Sleep(absl::Milliseconds(1));
  }
  EXPECT_TRUE(group_->Processes().empty());
}

TEST_P(RunTest, DamagedNewestImageIsReportedAndTheOneBeforeTaken) {
  {
    const auto run = Start({"--on-signal", "USR1"}, counting_);
    for (const int number : {1, 2}) {
      WaitForOutput();
      run->Signal(SIGUSR1);
      WaitForImage(number);
    }
    WaitForOutput();
    run->Signal(SIGKILL);
    run->Wait();
  }
  std::ofstream(ImagePath(2) + "/pstree.img", std::ios::app) << "x";
  LetItEnd();

  const CommandResult again = RunScript({}, counting_);

  EXPECT_EQ(again.exit_status, 0) << again.err;
  EXPECT_TRUE(absl::StrContains(again.err, name_ + ".2 is damaged"))
      << again.err;
  EXPECT_TRUE(absl::StrContains(again.err, "from image " + name_ + ".1"))
      << again.err;
  ExpectCountsWithoutGap();
}

TEST_P(RunTest, RestoreThatWasKilledDoesNotSpoilTheNext) {
  {
    const auto run = Start({"--before-end"}, counting_);
    WaitForOutput();
    run->Signal(SIGTERM);
    ASSERT_EQ(run->Wait(), 85);
  }
  RunningCkpt killed(ckpt_.CommandLine(Words({}, {"sh", "-c", counting_})),
                     "restore.built=stop");
  ASSERT_TRUE(killed.WaitUntilStopped(Soon()));
  ASSERT_TRUE(killed.KillCriu());
  killed.Signal(SIGKILL);
  killed.Wait();
  // CRIU leaves it there in most cases, and then it may be busy still.
  std::ofstream ghost(
      absl::StrCat(ckpt_.store(), "/.jobs/", name_, "/init.cr.1.ghost"));
  ghost.close();
  LetItEnd();

  const CommandResult again = RunScript({}, counting_);

  EXPECT_EQ(again.exit_status, 0) << again.err;
  ExpectCountsWithoutGap();
}

TEST_P(RunTest, BeforeEndLeavesAnImageThatTheNextRunGoesOnFrom) {
  const auto run = Start({"--before-end"}, counting_);
  WaitForOutput();
  run->Signal(SIGTERM);
  EXPECT_EQ(run->Wait(), 85);
  ASSERT_TRUE(HasImage(1));
  ExpectNothingLeft();

  const auto again =
      Start({"--before-end", "--before-end-status", "99"}, counting_);
  WaitForOutput();
  again->Signal(SIGTERM);
  EXPECT_EQ(again->Wait(), 99);

  LetItEnd();
  const CommandResult last = RunScript({}, counting_);
  EXPECT_EQ(last.exit_status, 0) << last.err;
  ExpectCountsWithoutGap();
}

TEST_P(RunTest, JobThatEndedWellStartsAfreshAndItsImagesAreGone) {
  const auto run = Start({"--on-signal", "USR1"}, counting_);
  WaitForOutput();
  run->Signal(SIGUSR1);
  WaitForImage(1);
  LetItEnd();
  ASSERT_EQ(run->Wait(), 0);
  EXPECT_FALSE(HasImage(1));

  const CommandResult again = RunScript({}, counting_);

  EXPECT_EQ(again.exit_status, 0);
  EXPECT_TRUE(absl::StrContains(again.err, "afresh")) << again.err;
}

TEST_P(RunTest, JobIsListedSuspendedResumedAndStopped) {
  // One that a freeze cannot stop in a vfork(), where no checkpoint is
  // possible.
  const auto run = Start(
      {"--on-signal", "USR1"},
      "exec python3 -c 'import itertools, time\nfor i in itertools.count(1):\n"
      "  print(i, flush=True)\n  time.sleep(0.002)'");
  WaitForOutput();
  CommandResult result = ckpt_.Run({"ps"});
  EXPECT_TRUE(absl::StrContains(result.out, name_)) << result.out;

  result = ckpt_.Run({"suspend", name_});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, "suspended")) << result.out;
  const std::string before = Output();
  // A checkpoint leaves it as it is.
  run->Signal(SIGUSR1);
  WaitForImage(1);
  EXPECT_EQ(Output(), before);

  result = ckpt_.Run({"resume", name_});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, "running")) << result.out;
  WaitForOutput();

  result = ckpt_.Run({"stop", name_});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(run->Wait(), 128 + SIGTERM);
  EXPECT_EQ(ckpt_.Run({"logs", name_, "--store", ckpt_.store()}).out, Output());
  ExpectCountsWithoutGap();
  ExpectNothingLeft();
}

TEST_P(RunTest, SuspendedJobIsNotThawedFromItsOwnGroup) {
  const auto run = Start({}, counting_);
  WaitForOutput();
  ASSERT_EQ(ckpt_.Run({"suspend", name_}).exit_status, 0);
  const std::string before = Output();

  const bool is_v1 = GetParam() == CgroupVersion::kV1;
  std::ofstream(
      absl::StrCat(JobGroup(), is_v1 ? "/freezer.state" : "/cgroup.freeze"))
      << (is_v1 ? "THAWED" : "0") << std::flush;

  EXPECT_TRUE(absl::StrContains(RowOfPs(), "suspended"));
  EXPECT_EQ(Output(), before);
  ASSERT_EQ(ckpt_.Run({"resume", name_}).exit_status, 0);
  WaitForOutput();
  LetItEnd();
  EXPECT_EQ(run->Wait(), 0);
}

TEST_P(RunTest, ImageOfAJobInTheFrameItselfGoesOn) {
  {
    // As older versions made them: of one group, without groups below.
    const auto run = Start({}, counting_);
    WaitForOutput();
    CommandResult dumped;
    do {  // not in a vfork() of the shell
      dumped =
          ckpt_.Run({"dump", "--cgroup", JobGroup(), "--image", name_ + ".1"});
    } while (dumped.exit_status ==
             static_cast<int>(absl::StatusCode::kUnavailable));
    ASSERT_EQ(dumped.exit_status, 0) << dumped.err;
    run->Wait();
  }
  const auto again = Start({"--on-signal", "USR1"}, counting_);
  WaitForOutput();
  again->Signal(SIGUSR1);
  WaitForImage(2);
  WaitForOutput();
  again->Signal(SIGKILL);
  again->Wait();
  LetItEnd();

  const CommandResult last = RunScript({}, counting_);

  EXPECT_EQ(last.exit_status, 0) << last.err;
  EXPECT_TRUE(absl::StrContains(last.err, "from image " + name_ + ".2"))
      << last.err;
  ExpectCountsWithoutGap();
  ExpectNothingLeft();
}

TEST_P(RunTest, GroupsThatTheJobMakesGoWithIt) {
  const CommandResult result =
      RunScript({}, absl::StrCat("mkdir -p ", JobGroup(), "/a/b; echo $$ > ",
                                 JobGroup(), "/a/b/cgroup.procs"));

  EXPECT_EQ(result.exit_status, 0) << result.err;
  ExpectNothingLeft();
}

TEST_P(RunTest, StopKillsAJobThatDoesNotListen) {
  const auto run = Start({}, "trap '' TERM; " + counting_);
  WaitForOutput();

  const CommandResult result = ckpt_.Run({"stop", name_, "--timeout", "50ms"});

  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, "killed")) << result.out;
  EXPECT_EQ(run->Wait(), 128 + SIGKILL);
  ExpectNothingLeft();
}

TEST_P(RunTest, KillEndsAJobByNameThoughItIsSuspended) {
  const auto run = Start({}, "trap '' TERM; " + counting_);
  WaitForOutput();
  ASSERT_EQ(ckpt_.Run({"suspend", name_}).exit_status, 0);

  const CommandResult result = ckpt_.Run({"kill", name_});

  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, "none is left")) << result.out;
  EXPECT_EQ(run->Wait(), 128 + SIGKILL);
  ExpectNothingLeft();
}

TEST_P(RunTest, KillSendsASignalOnceToEveryProcess) {
  // Two shells of one process group.
  const std::string script =
      absl::StrCat("trap 'echo got' USR2; echo ready; while ! test -e ", stop_,
                   "; do sleep 0.01; done");
  const auto run =
      Start({}, absl::StrCat("sh -c \"", script, "\" & ", script, "; wait"));
  while (Output() != "ready\nready\n") {
    Clock::Real().Sleep(absl::Milliseconds(1));
  }

  const CommandResult result = ckpt_.Run({"kill", name_, "--signal", "USR2"});
  LetItEnd();

  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(run->Wait(), 0);
  EXPECT_EQ(Output(), "ready\nready\ngot\ngot\n") << result.out;
}

TEST_P(RunTest, KillEndsWhatIsLeftWithoutSupervisorAndGuardian) {
  {
    const auto run = Start({}, counting_);
    WaitForOutput();
    ASSERT_TRUE(run->KillGuardian());
    run->Signal(SIGKILL);
    run->Wait();
  }
  ASSERT_FALSE(group_->Processes().empty());
  EXPECT_TRUE(absl::StrContains(RowOfPs(), "abandoned"));
  EXPECT_EQ(ckpt_.Run({"stop", name_}).exit_status,
            static_cast<int>(absl::StatusCode::kFailedPrecondition));

  const CommandResult result = ckpt_.Run({"kill", name_});

  EXPECT_EQ(result.exit_status, 0) << result.err;
  ExpectNothingLeft();
}

TEST_P(RunTest, KillTakesAJobOrGroups) {
  EXPECT_EQ(ckpt_.Run({"kill"}).exit_status,
            static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(ckpt_.Run({"kill", name_, "--cgroup", group_->path()}).exit_status,
            static_cast<int>(absl::StatusCode::kInvalidArgument));
}

TEST_P(RunTest, VerbsForAJobThatDoesNotRunSayNotFound) {
  for (const char* const verb : {"suspend", "resume", "stop", "kill", "logs"}) {
    EXPECT_EQ(ckpt_.Run({verb, name_}).exit_status,
              static_cast<int>(absl::StatusCode::kNotFound))
        << verb;
  }
}

TEST_P(RunTest, ImageOfAnotherCommandIsNotTaken) {
  const auto run = Start({"--before-end"}, counting_);
  WaitForOutput();
  run->Signal(SIGTERM);
  ASSERT_EQ(run->Wait(), 85);

  const CommandResult other = Run({}, {"echo", "other"});
  EXPECT_EQ(other.exit_status, 125);
  EXPECT_TRUE(absl::StrContains(other.err, "another command")) << other.err;

  const CommandResult fresh = Run({"--fresh"}, {"echo", "other"});
  EXPECT_EQ(fresh.exit_status, 0) << fresh.err;
  EXPECT_EQ(fresh.out, "other\n");
}

}  // namespace
}  // namespace ckpt
