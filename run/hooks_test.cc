#include "run/hooks.h"

#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "tests/support/job.h"
#include "tests/support/test_dir.h"

namespace ckpt::run {
namespace {

class HooksTest : public testing::Test {
 protected:
  // As `ckpt run` is.
  void SetUp() override { BecomeReaper(); }

  void Write(const std::string& name, const std::string& script,
             mode_t mode = 0755) {
    std::ofstream(dir_.File(name)) << "#!/bin/sh\n" << script << "\n";
    ASSERT_EQ(::chmod(dir_.File(name).c_str(), mode), 0);
  }

  Hooks Open(absl::Duration timeout = absl::Minutes(1)) const {
    return Hooks::Open({.directory = dir_.path(), .timeout = timeout}, "render",
                       "/store")
        .value();
  }

  // The one whose number the hook has written; a slow machine may end it before
  // that.
  void ExpectGroupHasEnded() {
    int group = 0;
    std::ifstream(dir_.File("written")) >> group;
    if (group > 0) {
      EXPECT_NE(::kill(-group, 0), 0);
    }
  }

  std::string Written() const {
    return ReadFile(dir_.File("written")).value_or("");
  }

  const TestDir dir_;
};

TEST_F(HooksTest, WithoutADirectoryNothingRuns) {
  const auto hooks = Hooks::Open({}, "render", "/store");
  ASSERT_TRUE(hooks.ok());
  EXPECT_EQ(hooks->Run(Hook::kPreDump, {}), absl::OkStatus());
}

TEST_F(HooksTest, HookThatIsNotThereIsPassedBy) {
  EXPECT_EQ(Open().Run(Hook::kPreDump, {}), absl::OkStatus());
}

TEST_F(HooksTest, MissingDirectoryIsNotFound) {
  EXPECT_EQ(
      Hooks::Open({.directory = dir_.File("none")}, "j", "s").status().code(),
      absl::StatusCode::kNotFound);
}

TEST_F(HooksTest, HookThatCannotRunIsRefusedAtOnce) {
  Write("post-restore", "true", 0644);
  EXPECT_EQ(Hooks::Open({.directory = dir_.path()}, "j", "s").status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(HooksTest, IsToldWhatIsGoingOn) {
  Write("post-dump",
        absl::StrCat("echo \"$CKPT_HOOK $CKPT_JOB $CKPT_STORE $CKPT_IMAGE "
                     "$CKPT_RESTARTED <$CKPT_ERROR>\" > ",
                     dir_.File("written")));
  EXPECT_EQ(
      Open().Run(Hook::kPostDump, {.image = "render.7",
                                   .restarts = 3,
                                   .outcome = absl::InternalError("no disk")}),
      absl::OkStatus());
  EXPECT_EQ(Written(), "post-dump render /store render.7 3 <no disk>\n");
}

TEST_F(HooksTest, ErrorIsEmptyWhenThereIsNoneAndUnsetBeforehand) {
  const std::string script =
      absl::StrCat("echo \"${CKPT_ERROR-unset}\" >> ", dir_.File("written"));
  Write("pre-restore", script);
  Write("post-restore", script);
  EXPECT_EQ(Open().Run(Hook::kPreRestore, {}), absl::OkStatus());
  EXPECT_EQ(Open().Run(Hook::kPostRestore, {}), absl::OkStatus());
  EXPECT_EQ(Written(), "unset\n\n");
}

TEST_F(HooksTest, FailureIsNamedWithItsStatus) {
  Write("pre-dump", "exit 3");
  const absl::Status status = Open().Run(Hook::kPreDump, {});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), absl::StrCat("hook ", dir_.File("pre-dump"),
                                           " ended with status 3"));
}

TEST_F(HooksTest, DeathBySignalIsAFailure) {
  Write("pre-dump", "kill -TERM $$");
  const absl::Status status = Open().Run(Hook::kPreDump, {});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(status.message(), "signal 15")) << status;
}

TEST_F(HooksTest, HangingHookIsKilledWithItsChildren) {
  Write("pre-dump", absl::StrCat("echo $$ > ", dir_.File("written"),
                                 "; trap '' TERM; sleep 1000 & sleep 1000"));
  const absl::Status status = Open(absl::Seconds(3)).Run(Hook::kPreDump, {});
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  ExpectGroupHasEnded();
}

TEST_F(HooksTest, WhatAHookLeavesInItsGroupEndsWithIt) {
  Write("pre-dump",
        absl::StrCat("echo $$ > ", dir_.File("written"), "; sleep 1000 &"));
  EXPECT_EQ(Open().Run(Hook::kPreDump, {}), absl::OkStatus());
  ExpectGroupHasEnded();
}

TEST_F(HooksTest, ScriptWithoutInterpreterIsAnError) {
  std::ofstream(dir_.File("pre-dump")) << "exit 0\n";
  ASSERT_EQ(::chmod(dir_.File("pre-dump").c_str(), 0755), 0);
  EXPECT_FALSE(Open().Run(Hook::kPreDump, {}).ok());
}

}  // namespace
}  // namespace ckpt::run
