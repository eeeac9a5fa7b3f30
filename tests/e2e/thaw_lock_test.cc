// Nobody meddles with a group that a dump holds, and gets an image for it: at
// every point between the freeze and the commit a foreign thaw, freeze, or move
// of a task makes the dump fail as ABORTED, and the job is as it was.  Another
// ckpt is refused at once.

#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/clock.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/e2e/running_ckpt.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workload.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

constexpr int kFailedPrecondition = 9;
constexpr int kAborted = 10;
constexpr int kUnavailable = 14;

enum class Meddling { kThaw, kFreezeAgain, kMoveOut, kMoveIn };

class ThawLockTest : public testing::Test {
 protected:
  void Start(CgroupVersion version, const std::string& workload,
             std::vector<std::string> args = {}) {
    BecomeReaper();
    group_ = NewGroup(version);
    other_ = NewGroup(version);
    WorkloadSpec spec = WorkloadNamed(workload);
    spec.args = std::move(args);
    Job::Options options;
    options.argv = spec.CommandLine(status_path_);
    options.cgroups = {group_.get()};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    root_ = job->pid();
    ASSERT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
  }

  static std::unique_ptr<TestCgroup> NewGroup(CgroupVersion version) {
    auto group = TestCgroup::Create(version);
    EXPECT_TRUE(group.ok()) << group.status();
    return *std::move(group);
  }

  // A process that is no part of the job.
  pid_t StartStranger() {
    Job::Options options;
    options.argv = {"/bin/sleep", "1000"};
    options.cgroups = {other_.get()};
    const auto job = Job::Start(options);
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? job->pid() : 0;
  }

  std::vector<std::string> DumpWords(bool leaves) {
    std::vector<std::string> words = {"dump", "--cgroup", group_->path(),
                                      "--image", "image"};
    if (leaves) words.push_back("--leave-running");
    return ckpt_.CommandLine(words);
  }

  // As a process that does not ask for ckpt's lock.
  void Meddle(Meddling meddling) {
    switch (meddling) {
      case Meddling::kThaw:
        ASSERT_EQ(group_->Thaw(), absl::OkStatus());
        break;
      case Meddling::kFreezeAgain:
        ASSERT_EQ(group_->RequestFreeze(), absl::OkStatus());
        break;
      case Meddling::kMoveOut:
        ASSERT_EQ(other_->Add(root_), absl::OkStatus());
        break;
      case Meddling::kMoveIn:
        ASSERT_EQ(group_->Add(stranger_), absl::OkStatus());
        break;
    }
  }

  void ExpectNoImage() {
    EXPECT_FALSE(std::filesystem::exists(ckpt_.store() + "/image"));
  }

  void ExpectJobRuns() {
    EXPECT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
  }

  CkptRunner ckpt_;
  const std::string status_path_ = ckpt_.dir().File("status");
  std::unique_ptr<TestCgroup> group_;
  std::unique_ptr<TestCgroup> other_;
  pid_t root_ = 0;
  pid_t stranger_ = 0;
};

using MeddlingCase = std::tuple<std::string, Meddling, CgroupVersion, bool>;

class MeddlingTest : public ThawLockTest,
                     public testing::WithParamInterface<MeddlingCase> {};

TEST_P(MeddlingTest, GivesNoImageAndTheJobRunsOn) {
  const auto& [point, meddling, version, leaves] = GetParam();
  ASSERT_NO_FATAL_FAILURE(Start(version, "counter"));
  stranger_ = StartStranger();
  RunningCkpt dump(DumpWords(leaves), absl::StrCat(point, "=stop"));
  ASSERT_TRUE(dump.WaitUntilStopped(Soon()));
  ASSERT_NO_FATAL_FAILURE(Meddle(meddling));
  dump.Continue();
  const int status = dump.Wait();
  const std::string errors = dump.ReadErrors();

  if (meddling == Meddling::kMoveOut) {
    // Moved before it was verified, it is a stray: there is no telling when.
    EXPECT_EQ(status, point == "dump.frozen" ? kFailedPrecondition : kAborted)
        << errors;
    EXPECT_TRUE(absl::StrContains(errors, absl::StrCat(root_))) << errors;
  } else {
    EXPECT_EQ(status, kAborted) << errors;
    EXPECT_TRUE(
        absl::StrContains(errors, absl::StrCat("process ", ::getpid(), " (")))
        << errors;
  }
  ExpectNoImage();
  EXPECT_EQ(group_->State().value_or(CgroupState::kFrozen),
            CgroupState::kThawed);
  ExpectJobRuns();
}

std::string MeddlingName(const testing::TestParamInfo<MeddlingCase>& info) {
  const auto& [point, meddling, version, leaves] = info.param;
  return absl::StrCat(absl::StrReplaceAll(point, {{".", "_"}}), "_",
                      meddling == Meddling::kThaw          ? "thaw"
                      : meddling == Meddling::kFreezeAgain ? "freeze"
                      : meddling == Meddling::kMoveOut     ? "move_out"
                                                           : "move_in",
                      "_", CgroupVersionName(version), "_",
                      leaves ? "leaverunning" : "kill");
}

INSTANTIATE_TEST_SUITE_P(
    All, MeddlingTest,
    testing::Combine(testing::Values("dump.frozen", "dump.verified",
                                     "dump.post_dump"),
                     testing::Values(Meddling::kThaw, Meddling::kFreezeAgain,
                                     Meddling::kMoveOut, Meddling::kMoveIn),
                     testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                     testing::Values(false, true)),
    MeddlingName);

class ThawLockVersionTest : public ThawLockTest,
                            public testing::WithParamInterface<CgroupVersion> {
};

// Not noticed, such a freeze would stop CRIU and the job for ever.
TEST_P(ThawLockVersionTest, FreezeUnderCriusHandsIsUndone) {
  ASSERT_NO_FATAL_FAILURE(Start(GetParam(), "memory", {"--mib", "64"}));
  RunningCkpt dump(DumpWords(/*leaves=*/true),
                   "dump.verified=stop,dump.post_dump=stop");
  ASSERT_TRUE(dump.WaitUntilStopped(Soon()));
  dump.Continue();
  // CRIU has seized the tasks when it thaws the group.
  ASSERT_EQ(group_->AwaitState(CgroupState::kThawed, Soon()), absl::OkStatus());
  ASSERT_EQ(group_->RequestFreeze(), absl::OkStatus());
  if (dump.WaitUntilStopped(Soon())) dump.Continue();  // CRIU was faster
  EXPECT_EQ(dump.Wait(), kAborted);
  const std::string errors = dump.ReadErrors();
  EXPECT_TRUE(absl::StrContains(errors, absl::StrCat("process ", ::getpid())))
      << errors;
  ExpectNoImage();
  ExpectJobRuns();
}

TEST_P(ThawLockVersionTest, FrozenJobIsGivenBackFrozen) {
  ASSERT_NO_FATAL_FAILURE(Start(GetParam(), "counter"));
  ASSERT_EQ(ckpt_.Run({"freeze", "--cgroup", group_->path()}).exit_status, 0);
  RunningCkpt dump(DumpWords(/*leaves=*/true), "dump.verified=stop");
  ASSERT_TRUE(dump.WaitUntilStopped(Soon()));
  ASSERT_EQ(group_->Thaw(), absl::OkStatus());
  dump.Continue();
  EXPECT_EQ(dump.Wait(), kAborted);
  ExpectNoImage();
  EXPECT_EQ(group_->State().value_or(CgroupState::kThawed),
            CgroupState::kFrozen);
  ASSERT_EQ(group_->Thaw(), absl::OkStatus());
  ExpectJobRuns();
}

TEST_P(ThawLockVersionTest, AnotherCkptIsRefusedAndToldWhoHoldsTheGroup) {
  ASSERT_NO_FATAL_FAILURE(Start(GetParam(), "counter"));
  RunningCkpt dump(DumpWords(/*leaves=*/true), "dump.verified=stop");
  ASSERT_TRUE(dump.WaitUntilStopped(Soon()));
  const std::vector<std::vector<std::string>> verbs = {
      {"dump", "--image", "second"}, {"freeze"}, {"thaw"}, {"kill"}};
  for (std::vector<std::string> words : verbs) {
    words.insert(words.end(), {"--cgroup", group_->path()});
    const CommandResult result = ckpt_.Run(words);
    EXPECT_EQ(result.exit_status, kUnavailable) << words[0] << result.err;
    EXPECT_TRUE(absl::StrContains(result.err,
                                  absl::StrCat("process ", dump.pid(), " (")))
        << words[0] << result.err;
  }
  dump.Continue();
  EXPECT_EQ(dump.Wait(), 0) << dump.ReadErrors();
  ExpectJobRuns();
}

INSTANTIATE_TEST_SUITE_P(Freezers, ThawLockVersionTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const testing::TestParamInfo<CgroupVersion>& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

}  // namespace
}  // namespace ckpt
