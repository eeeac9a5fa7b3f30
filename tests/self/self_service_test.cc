// A job whose processes cannot start ckpt outside of it asks a service
// (`ckpt self-serve`): as process 1 of its PID namespace, or below a process
// that adopts orphans.

#include <signal.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "gtest/gtest.h"
#include "tests/e2e/running_ckpt.h"
#include "tests/self/self_job_runner.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {
namespace {

class SelfServiceTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void StartService(const std::string& fault = "") {
    service_ = std::make_unique<RunningCkpt>(
        job_.ckpt().CommandLine({"self-serve", "--socket", socket_, "--store",
                                 job_.ckpt().store()}),
        fault);
    const absl::Time deadline = Soon();
    while (::access(socket_.c_str(), F_OK) != 0) {
      ASSERT_LT(Clock::Real().Now(), deadline) << service_->ReadErrors();
      Clock::Real().Sleep(absl::Milliseconds(2));
    }
  }

  void StartJob(const std::vector<std::string>& words, bool held = false) {
    ASSERT_NO_FATAL_FAILURE(
        job_.Start(words, {absl::StrCat("CKPT_SOCKET=", socket_)}, held));
  }

  // What the job must say of a call that went well.
  std::string Success(int call, int result, int restarts,
                      const std::string& image) const {
    return absl::StrCat("call ", call, " ", result, " 0 restarts ", restarts,
                        " image ", job_.Image(image), ": ");
  }

  // One checkpoint, and a restart from it.
  void ExpectBothReturns(const std::vector<std::string>& words) {
    ASSERT_NO_FATAL_FAILURE(StartService());
    ASSERT_NO_FATAL_FAILURE(StartJob(words));
    EXPECT_EQ(job_.AwaitLine("call"), Success(1, 1, 0, "self.1"));
    EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
    EXPECT_EQ(job_.AwaitLine("beat"), "beat");
    ASSERT_NO_FATAL_FAILURE(job_.End());
    ASSERT_NO_FATAL_FAILURE(job_.Restore("self.1"));
    EXPECT_EQ(job_.AwaitLine("call"), Success(1, 0, 1, "self.1"));
    EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
    EXPECT_EQ(job_.AwaitLine("beat"), "beat");
  }

  SelfJob job_{GetParam()};
  const std::string socket_ = job_.ckpt().dir().File("self.sock");
  std::unique_ptr<RunningCkpt> service_;
};

INSTANTIATE_TEST_SUITE_P(All, SelfServiceTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

TEST_P(SelfServiceTest, InitOfAPidNamespaceMayAsk) {
  ExpectBothReturns({"--as-init", "--threads", "2"});
}

TEST_P(SelfServiceTest, InitMayAskWithoutWaitingForTheDisk) {
  ExpectBothReturns({"--as-init", "--async"});
}

TEST_P(SelfServiceTest, ProcessBelowASubreaperMayAsk) {
  ExpectBothReturns({"--subreaper", "--from-child", "--group"});
}

TEST_P(SelfServiceTest, AnybodyMayAsk) {
  ExpectBothReturns({"--tree", "--children", "3", "--from-thread"});
}

TEST_P(SelfServiceTest, RefusalIsTold) {
  ASSERT_NO_FATAL_FAILURE(StartService());
  ASSERT_NO_FATAL_FAILURE(StartJob({"--children", "1"}));
  const std::string line = job_.AwaitLine("call");
  EXPECT_TRUE(absl::StartsWith(line, "call 1 -1 EOPNOTSUPP ")) << line;
  EXPECT_TRUE(absl::StrContains(line, "is not alone")) << line;
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
  EXPECT_EQ(job_.AwaitLine("beat"), "beat");
}

// Another mount namespace makes it a container's root.
TEST_P(SelfServiceTest, RootOfAContainerMayNotChooseWhatTheNodeRuns) {
  ASSERT_NO_FATAL_FAILURE(StartService());
  job_.SetStore("-");
  ASSERT_NO_FATAL_FAILURE(
      StartJob({"--as-init", "--own-mounts", "--argument", "--criu=/x"}));
  const std::string line = job_.AwaitLine("call");
  EXPECT_TRUE(absl::StartsWith(line, "call 1 -1 EINVAL ")) << line;
  EXPECT_TRUE(
      absl::StrContains(line, "option --criu=/x is for root of this node only"))
      << line;
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
  EXPECT_EQ(job_.AwaitLine("beat"), "beat");
}

TEST_P(SelfServiceTest, RootOfAContainerMayNotHaveOthersDumped) {
  ASSERT_NO_FATAL_FAILURE(StartService());
  job_.SetStore("-");
  ASSERT_NO_FATAL_FAILURE(StartJob({"--as-init", "--own-mounts", "--group"}));
  const std::string line = job_.AwaitLine("call");
  EXPECT_TRUE(absl::StartsWith(line, "call 1 -1 EPERM ")) << line;
  EXPECT_TRUE(
      absl::StrContains(line, absl::StrCat("process ", job_.pid(), " (")))
      << line;
  EXPECT_TRUE(absl::StrContains(line, "is outside of the PID namespace"))
      << line;
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
  EXPECT_EQ(job_.AwaitLine("beat"), "beat");
}

TEST_P(SelfServiceTest, RootOfAContainerHasAStoreOfItsOwn) {
  ASSERT_NO_FATAL_FAILURE(StartService());
  job_.SetStore("-");
  ASSERT_NO_FATAL_FAILURE(StartJob({"--as-init", "--own-mounts"}));
  EXPECT_EQ(job_.AwaitLine("call"), Success(1, 1, 0, ".users/0/self.1"));
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
  EXPECT_EQ(job_.AwaitLine("beat"), "beat");
}

TEST_P(SelfServiceTest, KilledDumpIsTold) {
  ASSERT_NO_FATAL_FAILURE(StartService("dump.post_dump=kill"));
  ASSERT_NO_FATAL_FAILURE(StartJob({"--as-init"}));
  const std::string line = job_.AwaitLine("call");
  EXPECT_TRUE(absl::StartsWith(line, "call 1 -1 EIO ")) << line;
  EXPECT_TRUE(absl::StrContains(line, "killed by signal 9")) << line;
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
}

TEST_P(SelfServiceTest, RequestOutlivesTheService) {
  ASSERT_NO_FATAL_FAILURE(StartService());
  ASSERT_NO_FATAL_FAILURE(StartJob({"--as-init"}, /*held=*/true));
  service_->Signal(SIGSTOP);
  ASSERT_TRUE(service_->WaitUntilStopped(Soon()));
  ASSERT_NO_FATAL_FAILURE(job_.Go());
  EXPECT_EQ(job_.AwaitLine("asking"), "asking 1");

  service_->Signal(SIGKILL);
  (void)service_->Wait();
  ASSERT_NO_FATAL_FAILURE(StartService());

  EXPECT_EQ(job_.AwaitLine("call"), Success(1, 1, 0, "self.1"));
}

TEST_P(SelfServiceTest, SecondServiceAtTheSamePlaceIsRefused) {
  ASSERT_NO_FATAL_FAILURE(StartService());
  const CommandResult second =
      job_.ckpt().Run({"self-serve", "--socket", socket_});
  EXPECT_EQ(second.exit_status,
            static_cast<int>(absl::StatusCode::kAlreadyExists))
      << second.err;
}

TEST_P(SelfServiceTest, ServiceEndsInOrderOnSigterm) {
  ASSERT_NO_FATAL_FAILURE(StartService());
  service_->Signal(SIGTERM);
  EXPECT_EQ(service_->Wait(), 0) << service_->ReadErrors();
  EXPECT_NE(::access(socket_.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace ckpt
