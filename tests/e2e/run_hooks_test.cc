// What runs around the checkpoints and restores of `ckpt run`, and what the job
// itself is told.

#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/e2e/run_fixture.h"
#include "tests/e2e/running_ckpt.h"

namespace ckpt {
namespace {

class RunHooksTest : public RunFixture {
 protected:
  void SetUp() override {
    RunFixture::SetUp();
    ASSERT_EQ(::mkdir(directory_.c_str(), 0755), 0);
    for (const std::string hook :
         {"pre-dump", "post-dump", "pre-restore", "post-restore"}) {
      Write(hook, "");
    }
  }

  // Each hook first writes down what it is told.
  void Write(const std::string& hook, const std::string& then) {
    const std::string path = absl::StrCat(directory_, "/", hook);
    std::ofstream(path) << "#!/bin/sh\n"
                        << "echo \"$CKPT_HOOK $CKPT_IMAGE $CKPT_RESTARTED "
                        << "${CKPT_ERROR:+failed}\" >> " << told_ << "\n"
                        << then << "\n";
    ASSERT_EQ(::chmod(path.c_str(), 0755), 0);
  }

  std::string Told() const { return ReadFile(told_).value_or(""); }

  std::vector<std::string> Hooked(std::vector<std::string> options) const {
    options.insert(options.end(), {"--hook-dir", directory_});
    return options;
  }

  static void WaitForErrors(RunningCkpt& run, const std::string& text) {
    while (!absl::StrContains(run.ReadErrors(), text)) {
      Clock::Real().Sleep(absl::Milliseconds(1));
    }
  }

  // An image of a job that has ended in it.
  void EndInImage() {
    const auto run = Start(Hooked({"--before-end"}), counting_);
    WaitForOutput();
    run->Signal(SIGTERM);
    ASSERT_EQ(run->Wait(), 85);
  }

  const std::string directory_ = ckpt_.dir().File("hooks");
  const std::string told_ = ckpt_.dir().File("told");
};
CKPT_INSTANTIATE_RUN_TESTS(RunHooksTest);

TEST_P(RunHooksTest, HooksAreToldOfEachCheckpointAndRestore) {
  ASSERT_NO_FATAL_FAILURE(EndInImage());
  ASSERT_NO_FATAL_FAILURE(EndInImage());

  EXPECT_EQ(Told(), absl::StrCat("pre-dump ", name_, ".1 0 \n",      //
                                 "post-dump ", name_, ".1 0 \n",     //
                                 "pre-restore ", name_, ".1 0 \n",   //
                                 "post-restore ", name_, ".1 1 \n",  //
                                 "pre-dump ", name_, ".2 1 \n",      //
                                 "post-dump ", name_, ".2 1 \n"));
}

TEST_P(RunHooksTest, FailingPreDumpMakesNoImageAndTheJobGoesOn) {
  Write("pre-dump", "exit 3");
  const auto run = Start(Hooked({"--on-signal", "USR1"}), counting_);
  WaitForOutput();

  run->Signal(SIGUSR1);

  WaitForErrors(*run, "checkpoint failed: hook ");
  EXPECT_FALSE(HasImage(1));
  WaitForOutput();
  LetItEnd();
  EXPECT_EQ(run->Wait(), 0);
  EXPECT_EQ(Told(), absl::StrCat("pre-dump ", name_, ".1 0 \n",  //
                                 "post-dump ", name_, ".1 0 failed\n"));
}

TEST_P(RunHooksTest, HangingHookIsKilledAndTheJobGoesOn) {
  Write("pre-dump", "sleep 1000");
  const auto run = Start(
      Hooked({"--on-signal", "USR1", "--hook-timeout", "50ms"}), counting_);
  WaitForOutput();

  run->Signal(SIGUSR1);

  WaitForErrors(*run, "had not ended after 50ms and was killed");
  EXPECT_FALSE(HasImage(1));
  LetItEnd();
  EXPECT_EQ(run->Wait(), 0);
}

TEST_P(RunHooksTest, FailingPreRestoreStartsNothingAndLosesNothing) {
  ASSERT_NO_FATAL_FAILURE(EndInImage());
  Write("pre-restore", "echo no licence >&2; exit 1");
  LetItEnd();

  const CommandResult refused = RunScript(Hooked({}), counting_);

  EXPECT_EQ(refused.exit_status, 125);
  EXPECT_TRUE(absl::StrContains(refused.err, "no licence")) << refused.err;
  EXPECT_TRUE(absl::StrContains(refused.err, "nothing was started"))
      << refused.err;
  EXPECT_TRUE(absl::StrContains(
      Told(), absl::StrCat("post-restore ", name_, ".1 0 failed")))
      << Told();
  ExpectNothingLeft();
  Write("pre-restore", "");
  EXPECT_EQ(RunScript(Hooked({}), counting_).exit_status, 0);
  ExpectCountsWithoutGap();
}

TEST_P(RunHooksTest, FailingHookAfterwardsIsReportedAndChangesNothing) {
  Write("post-dump", "exit 1");
  Write("post-restore", "exit 1");
  ASSERT_NO_FATAL_FAILURE(EndInImage());
  LetItEnd();

  const CommandResult again = RunScript(Hooked({}), counting_);

  EXPECT_EQ(again.exit_status, 0) << again.err;
  EXPECT_TRUE(absl::StrContains(again.err, "post-restore ended with status 1"))
      << again.err;
  ExpectCountsWithoutGap();
}

TEST_P(RunHooksTest, DirectoryThatIsNotThereIsRefused) {
  const CommandResult result =
      Run({"--hook-dir", ckpt_.dir().File("none")}, {"true"});
  EXPECT_EQ(result.exit_status, 125);
  EXPECT_TRUE(absl::StrContains(result.err, "none")) << result.err;
}

TEST_P(RunHooksTest, JobReadsHowOftenItWasRestored) {
  const std::string script = absl::StrCat(
      "while ! test -e ", stop_,
      "; do i=$((i+1)); echo $i; sleep 0.002; done; echo $CKPT_JOB restored "
      "$(cat $CKPT_RESTARTED_FILE) times");
  for (int i = 0; i < 2; ++i) {
    const auto run = Start({"--before-end"}, script);
    WaitForOutput();
    run->Signal(SIGTERM);
    ASSERT_EQ(run->Wait(), 85);
  }
  LetItEnd();

  EXPECT_TRUE(absl::StrContains(RunScript({}, script).out,
                                absl::StrCat(name_, " restored 2 times\n")));
  EXPECT_TRUE(absl::StrContains(RunScript({}, script).out,
                                absl::StrCat(name_, " restored 0 times\n")));
}

}  // namespace
}  // namespace ckpt
