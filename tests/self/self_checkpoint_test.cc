// A job checkpoints itself: what the call returns in the process that asked and
// in the restarted one, and that nothing of ckpt is left in either.

#include <signal.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/self/self_job_runner.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {
namespace {

using Words = std::vector<std::string>;

// What the job must say of a call that went well.
std::string Success(const SelfJob& job, int call, int result, int restarts,
                    const std::string& image) {
  return absl::StrCat("call ", call, " ", result, " 0 restarts ", restarts,
                      " image ", job.Image(image), ": ");
}

class SelfCheckpointTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  // One checkpoint, and a restart from it.
  void ExpectBothReturns(const Words& words) {
    ASSERT_NO_FATAL_FAILURE(job_.Start(words));
    EXPECT_EQ(job_.AwaitLine("call"), Success(job_, 1, 1, 0, "self.1"));
    EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
    EXPECT_EQ(job_.AwaitLine("beat"), "beat");
    ASSERT_NO_FATAL_FAILURE(job_.End());
    ASSERT_NO_FATAL_FAILURE(job_.Restore("self.1"));
    EXPECT_EQ(job_.AwaitLine("call"), Success(job_, 1, 0, 1, "self.1"));
    EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
    EXPECT_EQ(job_.AwaitLine("beat"), "beat");
  }

  // The call fails with that errno and a message that has `part`, and the job
  // runs on as before, not frozen.
  void ExpectRefusal(const std::string& error, const std::string& part) {
    const std::string line = job_.AwaitLine("call");
    EXPECT_TRUE(absl::StartsWith(line, absl::StrCat("call 1 -1 ", error, " ")))
        << line;
    EXPECT_TRUE(absl::StrContains(line, part)) << line;
    EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
    EXPECT_EQ(job_.AwaitLine("beat"), "beat");
    const auto state = job_.group().State();
    EXPECT_TRUE(state.ok() && *state == CgroupState::kThawed);
  }

  SelfJob job_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(All, SelfCheckpointTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

TEST_P(SelfCheckpointTest, ReturnsNumberAndZeroLikeFork) {
  ExpectBothReturns({});
}

TEST_P(SelfCheckpointTest, ThreadsGoOn) {
  ExpectBothReturns({"--threads", "20"});
}

TEST_P(SelfCheckpointTest, AnyThreadMayAsk) {
  ExpectBothReturns({"--threads", "3", "--from-thread"});
}

TEST_P(SelfCheckpointTest, SubreaperMayAsk) {
  ExpectBothReturns({"--subreaper"});
}

TEST_P(SelfCheckpointTest, IgnoredSigchldIsNoMatter) {
  ExpectBothReturns({"--ignore-sigchld"});
}

TEST_P(SelfCheckpointTest, TreeOfFiftyInOneGroup) {
  ExpectBothReturns({"--tree", "--children", "49", "--subreaper"});
}

TEST_P(SelfCheckpointTest, TreeWithoutChildrenIsTheProcess) {
  ExpectBothReturns({"--tree"});
}

TEST_P(SelfCheckpointTest, GroupOfTheAsker) {
  ExpectBothReturns({"--group", "--children", "3"});
}

TEST_P(SelfCheckpointTest, AskerOutsideTheFrozenGroupReturnsThere) {
  auto own = TestCgroup::Create(GetParam());
  ASSERT_TRUE(own.ok()) << own.status();
  ASSERT_NO_FATAL_FAILURE(
      job_.Start({"--tree", "--children", "49", "--times", "2"}, {}, true));
  ASSERT_EQ((*own)->Add(job_.pid()), absl::OkStatus());

  for (const int i : {1, 2}) {
    ASSERT_NO_FATAL_FAILURE(job_.Go(i));
    EXPECT_EQ(job_.AwaitLine("call"),
              Success(job_, i, i, 0, absl::StrCat("self.", i)));
    EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
    EXPECT_EQ(job_.AwaitLine("beat"), "beat");
    EXPECT_EQ((*own)->Processes(), std::vector<pid_t>{job_.pid()});
    EXPECT_EQ(job_.group().Processes().size(), 49U);
  }
  ASSERT_EQ((*own)->KillAll(Soon()), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(job_.End());
  ASSERT_NO_FATAL_FAILURE(job_.Restore("self.1"));
  EXPECT_EQ(job_.AwaitLine("call"), Success(job_, 1, 0, 1, "self.1"));
  EXPECT_EQ(job_.AwaitLine("call"), Success(job_, 2, 3, 1, "self.3"));
}

TEST_P(SelfCheckpointTest, GroupThatTheAskerIsOutsideOf) {
  auto own = TestCgroup::Create(GetParam());
  ASSERT_TRUE(own.ok()) << own.status();
  ASSERT_NO_FATAL_FAILURE(job_.Start(
      {"--group", "--cgroup", job_.group().path(), "--children", "3"}, {},
      true));
  ASSERT_EQ((*own)->Add(job_.pid()), absl::OkStatus());

  ASSERT_NO_FATAL_FAILURE(job_.Go());

  EXPECT_EQ(job_.AwaitLine("call"), Success(job_, 1, 1, 0, "self.1"));
  EXPECT_EQ((*own)->Processes(), std::vector<pid_t>{job_.pid()});
}

TEST_P(SelfCheckpointTest, TenTimesEachFromTheRestartedJob) {
  ASSERT_NO_FATAL_FAILURE(
      job_.Start({"--times", "10", "--tree", "--children", "2"}, {}, true));
  for (int i = 1; i <= 10; ++i) {
    ASSERT_NO_FATAL_FAILURE(job_.Go(i));
    const std::string image = absl::StrCat("self.", i);
    EXPECT_EQ(job_.AwaitLine("call"), Success(job_, i, i, i - 1, image));
    EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
    ASSERT_NO_FATAL_FAILURE(job_.End());
    ASSERT_NO_FATAL_FAILURE(job_.Restore(image));
    EXPECT_EQ(job_.AwaitLine("call"), Success(job_, i, 0, i, image));
    EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
  }
}

TEST_P(SelfCheckpointTest, AsyncReturnsTwiceAndTheImageFollows) {
  ASSERT_NO_FATAL_FAILURE(job_.Start({"--tree", "--children", "3", "--async"}));
  EXPECT_EQ(job_.AwaitLine("call"), Success(job_, 1, 1, 0, "self.1"));
  EXPECT_EQ(job_.AwaitLine("wait"),
            absl::StrCat("wait 1 1 0 image ", job_.Image("self.1"), ": "));
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
  EXPECT_EQ(job_.ckpt().Run({"verify", "self.1"}).exit_status, 0);
  ASSERT_NO_FATAL_FAILURE(job_.End());
  ASSERT_NO_FATAL_FAILURE(job_.Restore("self.1"));
  EXPECT_EQ(job_.AwaitLine("call"), Success(job_, 1, 0, 1, "self.1"));
  const std::string wait = job_.AwaitLine("wait");
  EXPECT_TRUE(absl::StartsWith(wait, "wait 1 -1 ECHILD ")) << wait;
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
}

TEST_P(SelfCheckpointTest, AsyncCallsFollowEachOther) {
  ASSERT_NO_FATAL_FAILURE(
      job_.Start({"--async", "--no-wait", "--times", "10", "--keep", "2"}));
  for (int i = 1; i <= 10; ++i) {
    EXPECT_EQ(job_.AwaitLine("call"),
              Success(job_, i, i, 0, absl::StrCat("self.", i)));
  }
  EXPECT_EQ(job_.AwaitLine("wait"),
            absl::StrCat("wait 10 10 0 image ", job_.Image("self.10"), ": "));
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
  EXPECT_EQ(job_.ckpt().Run({"verify", "self.10"}).exit_status, 0);
  EXPECT_EQ(job_.ckpt().Run({"verify", "self.9"}).exit_status, 0);
}

// The program is gone before its image is on the disk, and the image is whole.
TEST_P(SelfCheckpointTest, AsyncImageSurvivesTheProgram) {
  ASSERT_NO_FATAL_FAILURE(job_.Start({"--async", "--no-wait", "--times", "2"},
                                     {"CKPT_FAULT=dump.released=stop"},
                                     /*held=*/true));
  ASSERT_NO_FATAL_FAILURE(job_.Go());
  EXPECT_EQ(job_.AwaitLine("call"), Success(job_, 1, 1, 0, "self.1"));
  const pid_t helper = job_.AwaitStoppedHelper();
  ASSERT_NO_FATAL_FAILURE(job_.End());
  EXPECT_NE(job_.ckpt().Run({"show", "self.1"}).exit_status, 0);

  ASSERT_EQ(::kill(helper, SIGCONT), 0);

  ASSERT_EQ(WaitUntilGone(std::vector<pid_t>{helper}, Soon()),
            absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(job_.Restore("self.1"));
  EXPECT_EQ(job_.AwaitLine("call"), Success(job_, 1, 0, 1, "self.1"));
}

TEST_P(SelfCheckpointTest, ExitEndsTheJobWhenTheImageIsWhole) {
  ASSERT_NO_FATAL_FAILURE(job_.Start({"--tree", "--children", "3", "--exit"}));
  ASSERT_NO_FATAL_FAILURE(job_.AwaitEnd());
  ASSERT_NO_FATAL_FAILURE(job_.Restore("self.1"));
  EXPECT_EQ(job_.AwaitLine("call"), Success(job_, 1, 0, 1, "self.1"));
  EXPECT_EQ(job_.AwaitLine("beat"), "beat");
}

TEST_P(SelfCheckpointTest, KeepRemovesOlderImages) {
  ASSERT_NO_FATAL_FAILURE(job_.Start({"--times", "5", "--keep", "2"}));
  EXPECT_EQ(job_.AwaitLine("call 5"), Success(job_, 5, 5, 0, "self.5"));
  // The third goes after the fifth is told of, at the latest with the sixth.
  EXPECT_NE(job_.ckpt().Run({"show", "self.2"}).exit_status, 0);
  EXPECT_EQ(job_.ckpt().Run({"verify", "self.4"}).exit_status, 0);
  EXPECT_EQ(job_.ckpt().Run({"verify", "self.5"}).exit_status, 0);
}

TEST_P(SelfCheckpointTest, ChildIsRefusedByName) {
  ASSERT_NO_FATAL_FAILURE(job_.Start({"--children", "1"}, {}, /*held=*/true));
  const pid_t child = job_.Tree().back();

  ASSERT_NO_FATAL_FAILURE(job_.Go());

  ExpectRefusal("EOPNOTSUPP", absl::StrCat(child, " (self_job)"));
}

TEST_P(SelfCheckpointTest, StrayIsRefusedByName) {
  auto other = TestCgroup::Create(GetParam());
  ASSERT_TRUE(other.ok()) << other.status();
  ASSERT_NO_FATAL_FAILURE(
      job_.Start({"--tree", "--children", "3"}, {}, /*held=*/true));
  const pid_t stray = job_.Tree()[1];
  ASSERT_EQ((*other)->Add(stray), absl::OkStatus());

  ASSERT_NO_FATAL_FAILURE(job_.Go());

  ExpectRefusal("EOPNOTSUPP", absl::StrCat(stray, " (self_job, in "));
}

TEST_P(SelfCheckpointTest, OutsiderIsRefusedByName) {
  ASSERT_NO_FATAL_FAILURE(
      job_.Start({"--tree", "--children", "3"}, {}, /*held=*/true));
  Job::Options options;
  options.argv = {"/bin/sleep", "infinity"};
  options.cgroups = {&job_.group()};
  const auto outsider = Job::Start(options);
  ASSERT_TRUE(outsider.ok()) << outsider.status();

  ASSERT_NO_FATAL_FAILURE(job_.Go());

  ExpectRefusal("EOPNOTSUPP", absl::StrCat(outsider->pid(), " (sleep"));
}

TEST_P(SelfCheckpointTest, OtherUserIsRefused) {
  ASSERT_NO_FATAL_FAILURE(job_.Start({"--drop-root"}));
  ExpectRefusal("EPERM", "needs root");
}

// With a service: self_service_test.cc.
TEST_P(SelfCheckpointTest, InitOfAPidNamespaceIsRefused) {
  ASSERT_NO_FATAL_FAILURE(job_.Start({"--as-init"}));
  const std::string line = job_.AwaitLine("call");
  EXPECT_TRUE(absl::StartsWith(line, "call 1 -1 EOPNOTSUPP ")) << line;
  EXPECT_TRUE(absl::StrContains(line, "process 1")) << line;
  EXPECT_TRUE(absl::StrContains(line, "ckpt self-serve")) << line;
}

TEST_P(SelfCheckpointTest, GroupWhoseAncestorAdoptsOrphansIsRefused) {
  ASSERT_NO_FATAL_FAILURE(
      job_.Start({"--group", "--subreaper", "--from-child"}));
  ExpectRefusal("EOPNOTSUPP", "ckpt self-serve");
}

TEST_P(SelfCheckpointTest, BadOptionOfCkptIsExplained) {
  ASSERT_NO_FATAL_FAILURE(
      job_.Start({"--argument", "--ghost-limit", "--argument", "much"}));
  ExpectRefusal("EINVAL", "ghost-limit");
}

TEST_P(SelfCheckpointTest, CallbacksRunAroundIt) {
  ASSERT_NO_FATAL_FAILURE(
      job_.Start({"--callbacks", "ok", "--tree", "--children", "1"}));
  EXPECT_EQ(job_.AwaitLine("callback"), "callback before");
  EXPECT_EQ(job_.AwaitLine("callback"), "callback after 1");
  EXPECT_EQ(job_.AwaitLine("call 1"), Success(job_, 1, 1, 0, "self.1"));
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
  ASSERT_NO_FATAL_FAILURE(job_.End());
  ASSERT_NO_FATAL_FAILURE(job_.Restore("self.1"));
  EXPECT_EQ(job_.AwaitLine("callback"), "callback restart");
  EXPECT_EQ(job_.AwaitLine("call 1"), Success(job_, 1, 0, 1, "self.1"));
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
}

TEST_P(SelfCheckpointTest, CallbackThatFailsCancels) {
  ASSERT_NO_FATAL_FAILURE(job_.Start({"--callbacks", "before-fails"}));
  const std::string line = job_.AwaitLine("call 1");
  EXPECT_TRUE(absl::StartsWith(line, "call 1 -1 ECANCELED ")) << line;
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
  EXPECT_NE(job_.ckpt().Run({"show", "self.1"}).exit_status, 0);
}

TEST_P(SelfCheckpointTest, CallbackThatHangsCancelsAndBlocksTheNext) {
  ASSERT_NO_FATAL_FAILURE(
      job_.Start({"--callbacks", "before-hangs", "--times", "3"}));
  const std::string first = job_.AwaitLine("call 1");
  EXPECT_TRUE(absl::StartsWith(first, "call 1 -1 ETIMEDOUT ")) << first;
  const std::string second = job_.AwaitLine("call 2");
  EXPECT_TRUE(absl::StartsWith(second, "call 2 -1 EBUSY ")) << second;
  // It has returned by now.
  EXPECT_EQ(job_.AwaitLine("call 3"), Success(job_, 3, 1, 0, "self.1"));
}

TEST_P(SelfCheckpointTest, LaterCallbackThatHangsIsToldAndBlocksTheNext) {
  ASSERT_NO_FATAL_FAILURE(
      job_.Start({"--callbacks", "after-hangs", "--times", "3"}));
  const std::string first = job_.AwaitLine("call 1");
  EXPECT_TRUE(absl::StartsWith(first, Success(job_, 1, 1, 0, "self.1")))
      << first;
  EXPECT_TRUE(absl::StrContains(first, "did not return within its limit"))
      << first;
  const std::string second = job_.AwaitLine("call 2");
  EXPECT_TRUE(absl::StartsWith(second, "call 2 -1 EBUSY ")) << second;
  // It has returned by now.
  EXPECT_EQ(job_.AwaitLine("call 3"), Success(job_, 3, 2, 0, "self.2"));
}

TEST_P(SelfCheckpointTest, RestartCallbackThatFailsIsOnlyTold) {
  ASSERT_NO_FATAL_FAILURE(job_.Start({"--callbacks", "restart-fails"}));
  EXPECT_EQ(job_.AwaitLine("call 1"), Success(job_, 1, 1, 0, "self.1"));
  ASSERT_NO_FATAL_FAILURE(job_.End());
  ASSERT_NO_FATAL_FAILURE(job_.Restore("self.1"));
  const std::string line = job_.AwaitLine("call 1");
  EXPECT_TRUE(absl::StartsWith(line, Success(job_, 1, 0, 1, "self.1"))) << line;
  EXPECT_TRUE(absl::StrContains(line, "a callback after that failed")) << line;
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
}

TEST_P(SelfCheckpointTest, RestartCallbackThatHangsIsToldWhenItsLimitIsOver) {
  ASSERT_NO_FATAL_FAILURE(job_.Start({"--callbacks", "restart-hangs"}));
  EXPECT_EQ(job_.AwaitLine("call 1"), Success(job_, 1, 1, 0, "self.1"));
  ASSERT_NO_FATAL_FAILURE(job_.End());
  ASSERT_NO_FATAL_FAILURE(job_.Restore("self.1"));
  const std::string line = job_.AwaitLine("call 1");
  EXPECT_TRUE(absl::StartsWith(line, Success(job_, 1, 0, 1, "self.1"))) << line;
  EXPECT_TRUE(absl::StrContains(line, "did not return within its limit"))
      << line;
  EXPECT_EQ(job_.AwaitLine("beat"), "beat");
}

TEST_P(SelfCheckpointTest, LaterCallbackThatFailsIsOnlyTold) {
  ASSERT_NO_FATAL_FAILURE(job_.Start({"--callbacks", "after-fails"}));
  const std::string line = job_.AwaitLine("call 1");
  EXPECT_TRUE(absl::StartsWith(line, Success(job_, 1, 1, 0, "self.1"))) << line;
  EXPECT_TRUE(absl::StrContains(line, "a callback after it failed")) << line;
}

}  // namespace
}  // namespace ckpt
