// ckptd serves ckpt_self(), as its policy says: whom it serves and whom it
// refuses; and that it may be killed at each step without the loss of an
// answer.

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "tests/e2e/running_ckpt.h"
#include "tests/self/self_job_runner.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {
namespace {

constexpr char kForAll[] =
    "rule { local_user: '*' verb: SELF_DUMP cgroup: '/' }";
constexpr absl::Duration kPoll = absl::Milliseconds(2);

class SelfAgent {
 public:
  explicit SelfAgent(CgroupVersion version) : job_(version) {
    // Other users look for the socket, and write their status.
    EXPECT_EQ(::chmod(job_.ckpt().dir().path().c_str(), 0755), 0);
    const auto status = OpenAt(AT_FDCWD, job_.ckpt().dir().File("status"),
                               O_WRONLY | O_CREAT, 0666);
    EXPECT_TRUE(status.ok() && ::fchmod(status->get(), 0666) == 0);
  }

  // Returns when it takes calls.  `fault` is for it and for what it starts.
  void Start(const std::string& fault = "",
             const std::string& policy = kForAll) {
    const std::string file = job_.ckpt().dir().File("policy");
    std::ofstream(file) << policy;
    ASSERT_EQ(::chmod(file.c_str(), 0600), 0);
    agent_ = std::make_unique<RunningCkpt>(
        std::vector<std::string>{RunfilesPath("agent/ckptd"), "--socket",
                                 job_.ckpt().dir().File("ckptd.sock"),
                                 "--self-socket", socket_, "--ckpt",
                                 CkptRunner::Binary(), "--store",
                                 job_.ckpt().store(), "--policy", file},
        fault);
    const absl::Time deadline = Soon();
    while (!absl::StrContains(Log(), "listens on")) {
      ASSERT_LT(Clock::Real().Now(), deadline) << Log();
      Clock::Real().Sleep(kPoll);
    }
  }

  void StartJob(const std::vector<std::string>& words, bool held = false) {
    ASSERT_NO_FATAL_FAILURE(
        job_.Start(words, {absl::StrCat("CKPT_SOCKET=", socket_)}, held));
  }

  void Kill() {
    agent_->Signal(SIGKILL);
    EXPECT_EQ(agent_->Wait(), 128 + SIGKILL);
  }

  // The call that is under way comes to this end, and leaves the job as it was.
  void ExpectCall(const std::string& start, const std::string& part) {
    const std::string line = job_.AwaitLine("call");
    EXPECT_TRUE(absl::StartsWith(line, start)) << line << "\n" << Log();
    EXPECT_TRUE(absl::StrContains(line, part)) << line << "\n" << Log();
    EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
    EXPECT_EQ(job_.AwaitLine("beat"), "beat");
  }

  void ExpectSuccess(int number) {
    ExpectCall(absl::StrCat("call 1 ", number, " 0 restarts 0 "),
               absl::StrCat(" image ", job_.Image("self."), number, ": "));
  }

  void ExpectAudited(const std::string& caller, bool allowed) {
    EXPECT_TRUE(absl::StrContains(Log(), "\"verb\":\"SELF_DUMP\"")) << Log();
    EXPECT_TRUE(absl::StrContains(Log(), caller)) << Log();
    EXPECT_TRUE(absl::StrContains(
        Log(), absl::StrCat("\"allowed\":", allowed ? "true" : "false")))
        << Log();
  }

  std::string Log() { return agent_->ReadErrors(); }
  SelfJob& job() { return job_; }
  RunningCkpt& process() { return *agent_; }

 private:
  SelfJob job_;
  const std::string socket_ = job_.ckpt().dir().File("self.sock");
  std::unique_ptr<RunningCkpt> agent_;
};

class SelfAgentTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  SelfAgent agent_{GetParam()};
};

std::string VersionName(const testing::TestParamInfo<CgroupVersion>& info) {
  return CgroupVersionName(info.param);
}

INSTANTIATE_TEST_SUITE_P(All, SelfAgentTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         VersionName);

TEST_P(SelfAgentTest, ServesInitOfAPidNamespaceAndItsRestart) {
  ASSERT_NO_FATAL_FAILURE(agent_.Start());
  ASSERT_NO_FATAL_FAILURE(agent_.StartJob({"--as-init", "--threads", "2"}));
  agent_.ExpectSuccess(1);
  agent_.ExpectAudited("uid 0", true);
  ASSERT_NO_FATAL_FAILURE(agent_.job().End());
  ASSERT_NO_FATAL_FAILURE(agent_.job().Restore("self.1"));
  agent_.ExpectCall("call 1 0 0 restarts 1 ", "self.1: ");
}

TEST_P(SelfAgentTest, ServesATreeThatDoesNotWaitForTheDisk) {
  ASSERT_NO_FATAL_FAILURE(agent_.Start());
  ASSERT_NO_FATAL_FAILURE(
      agent_.StartJob({"--tree", "--children", "3", "--async"}));
  EXPECT_TRUE(absl::StartsWith(agent_.job().AwaitLine("call"), "call 1 1 0 "));
  EXPECT_TRUE(absl::StartsWith(agent_.job().AwaitLine("wait"), "wait 1 1 0 "));
  EXPECT_EQ(agent_.job().AwaitLine("trace"), "trace same");
}

TEST_P(SelfAgentTest, StoreOfTheAgentIsTheDefault) {
  agent_.job().SetStore("-");
  ASSERT_NO_FATAL_FAILURE(agent_.Start());
  ASSERT_NO_FATAL_FAILURE(agent_.StartJob({}));
  agent_.ExpectSuccess(1);
}

TEST_P(SelfAgentTest, PolicyThatHasNoSuchVerbRefuses) {
  ASSERT_NO_FATAL_FAILURE(
      agent_.Start("", "rule { local_user: '0' verb: DUMP cgroup: '/' }"));
  ASSERT_NO_FATAL_FAILURE(agent_.StartJob({"--tree", "--children", "1"}));
  agent_.ExpectCall("call 1 -1 EPERM ", "may not SELF_DUMP");
  agent_.ExpectAudited("uid 0", false);
}

TEST_P(SelfAgentTest, PolicyForAnotherGroupRefuses) {
  ASSERT_NO_FATAL_FAILURE(agent_.Start(
      "", "rule { local_user: '0' verb: SELF_DUMP cgroup: '/elsewhere' }"));
  ASSERT_NO_FATAL_FAILURE(agent_.StartJob({"--tree", "--children", "1"}));
  const std::string path = agent_.job().group().path();
  agent_.ExpectCall("call 1 -1 EPERM ", path.substr(path.rfind('/')));
  agent_.ExpectAudited("uid 0", false);
}

TEST_P(SelfAgentTest, UserThatNobodyKnowsIsRefused) {
  agent_.job().SetStore("-");
  ASSERT_NO_FATAL_FAILURE(
      agent_.Start("", "rule { local_user: '0' verb: SELF_DUMP cgroup: '/' }"));
  ASSERT_NO_FATAL_FAILURE(agent_.StartJob({"--as-user", "4711"}));
  agent_.ExpectCall("call 1 -1 EPERM ", "uid 4711 may not SELF_DUMP");
  agent_.ExpectAudited("uid 4711", false);
}

TEST_P(SelfAgentTest, UserIsServedWhereCriuCanDumpOtherUsers) {
  agent_.job().SetStore("-");
  ASSERT_NO_FATAL_FAILURE(agent_.Start());
  ASSERT_NO_FATAL_FAILURE(agent_.StartJob({"--as-user", "4711"}));
  const std::string line = agent_.job().AwaitLine("call");
  agent_.ExpectAudited("uid 4711", true);
  EXPECT_EQ(agent_.job().AwaitLine("trace"), "trace same");
  if (absl::StrContains(line, "lacks CAP_SYS_RESOURCE")) return;
  EXPECT_TRUE(absl::StartsWith(line, "call 1 1 0 ")) << line;
  EXPECT_TRUE(absl::StrContains(line, "/.users/4711/self.1")) << line;
}

TEST_P(SelfAgentTest, UserMayNotChooseAnotherStore) {
  ASSERT_NO_FATAL_FAILURE(agent_.Start());
  ASSERT_NO_FATAL_FAILURE(agent_.StartJob({"--as-user", "4711"}));
  agent_.ExpectCall("call 1 -1 EINVAL ", "/.users/4711");
}

TEST_P(SelfAgentTest, UserMayNotHaveProcessesOfOthersDumped) {
  agent_.job().SetStore("-");
  ASSERT_NO_FATAL_FAILURE(agent_.Start());
  // Its child is root's.
  ASSERT_NO_FATAL_FAILURE(
      agent_.StartJob({"--as-user", "4711", "--tree", "--children", "1"}));
  agent_.ExpectCall("call 1 -1 EPERM ", "has the user ids 0 0 0 0");
}

TEST_P(SelfAgentTest, FullStoreIsToldAndCostsTheJobNothing) {
  const std::string small = agent_.job().ckpt().dir().MakeDirectory("small");
  ASSERT_EQ(::mount("none", small.c_str(), "tmpfs", 0, "size=4m"), 0);
  agent_.job().SetStore(small);
  ASSERT_NO_FATAL_FAILURE(agent_.Start());
  ASSERT_NO_FATAL_FAILURE(agent_.StartJob({"--memory", "16"}));
  agent_.ExpectCall("call 1 -1 ENOSPC ", "the job runs on");
  const auto left = ListDirectory(small);
  EXPECT_TRUE(left.ok() && left->empty());
  ASSERT_EQ(::umount2(small.c_str(), MNT_DETACH), 0);
}

// By the program that the library starts itself: it tells what it may not do.
TEST(SelfOwnerTest, TaskThatBecomesAnothersMeanwhileIsSeenWhileCriuHoldsIt) {
  SelfJob job(CgroupVersion::kV2);
  const std::string drop = job.ckpt().dir().File("drop");
  ASSERT_NO_FATAL_FAILURE(job.Start(
      {"--thread-drops", drop, "--argument", "--owner", "--argument", "0"},
      {"CKPT_FAULT=dump.before_freeze=stop"}));
  const pid_t helper = job.AwaitStoppedHelper();
  ASSERT_GT(helper, 0);
  std::ofstream(drop) << "";
  EXPECT_EQ(job.AwaitLine("dropped"), "dropped");
  ASSERT_EQ(::kill(helper, SIGCONT), 0);
  const std::string line = job.AwaitLine("call");
  EXPECT_TRUE(absl::StartsWith(line, "call 1 -1 EPERM ")) << line;
  EXPECT_TRUE(absl::StrContains(line, "has the user ids 65534")) << line;
  EXPECT_TRUE(absl::StrContains(line, "the job runs on")) << line;
  const auto images = ListDirectory(job.ckpt().store());
  EXPECT_TRUE(images.ok() && images->empty());
}

using StepCase = std::tuple<std::string, CgroupVersion>;

std::string StepName(const testing::TestParamInfo<StepCase>& info) {
  return absl::StrCat(
      absl::StrReplaceAll(std::get<0>(info.param), {{".", "_"}}), "_",
      CgroupVersionName(std::get<1>(info.param)));
}

class SelfAgentFaultTest : public testing::TestWithParam<StepCase> {
 protected:
  const std::string& step() const { return std::get<0>(GetParam()); }
  SelfAgent agent_{std::get<1>(GetParam())};
};

// ckptd itself dies there.
using SelfAgentOwnFaultTest = SelfAgentFaultTest;

TEST_P(SelfAgentOwnFaultTest, NextAgentOrTheDumpItselfAnswers) {
  ASSERT_NO_FATAL_FAILURE(agent_.Start(absl::StrCat(step(), "=kill")));
  ASSERT_NO_FATAL_FAILURE(agent_.StartJob({"--tree", "--children", "2"}));
  EXPECT_EQ(agent_.process().Wait(), 128 + SIGKILL);
  if (step() == "self.called") {
    ASSERT_NO_FATAL_FAILURE(agent_.Start());
  }
  agent_.ExpectSuccess(1);
}

INSTANTIATE_TEST_SUITE_P(
    Steps, SelfAgentOwnFaultTest,
    testing::Combine(testing::Values("self.called", "self.started"),
                     testing::Values(CgroupVersion::kV1, CgroupVersion::kV2)),
    StepName);

// ckptd dies while the dump stands there.
class SelfAgentDumpFaultTest : public SelfAgentFaultTest {
 protected:
  void KillAgentAtStep() {
    ASSERT_NO_FATAL_FAILURE(agent_.Start(absl::StrCat(step(), "=stop")));
    ASSERT_NO_FATAL_FAILURE(agent_.StartJob({"--tree", "--children", "2"}));
    helper_ = agent_.job().AwaitStoppedHelper();
    ASSERT_GT(helper_, 0) << agent_.Log();
    agent_.Kill();
  }
  pid_t helper_ = 0;
};

TEST_P(SelfAgentDumpFaultTest, DumpGoesOnAndAnswersBesideTheNextAgent) {
  ASSERT_NO_FATAL_FAILURE(KillAgentAtStep());
  ASSERT_NO_FATAL_FAILURE(agent_.Start());
  ASSERT_EQ(::kill(helper_, SIGCONT), 0);
  agent_.ExpectSuccess(1);
  // The job has asked the next agent, too, perhaps: that is the same call.
  auto images = ListDirectory(agent_.job().ckpt().store());
  ASSERT_TRUE(images.ok());
  // The agent has other things there, too.
  std::erase_if(*images, [](const std::string& name) {
    return !absl::StrContains(name, "self.");
  });
  EXPECT_EQ(*images, std::vector<std::string>{"self.1"});
}

TEST_P(SelfAgentDumpFaultTest, NextAgentMakesItWhenTheDumpIsKilledToo) {
  ASSERT_NO_FATAL_FAILURE(KillAgentAtStep());
  ASSERT_EQ(::kill(helper_, SIGKILL), 0);
  ASSERT_NO_FATAL_FAILURE(agent_.Start());
  // One that was whole already stays.
  const bool is_whole = step() == "dump.committed" || step() == "self.dumped";
  agent_.ExpectSuccess(is_whole ? 2 : 1);
}

INSTANTIATE_TEST_SUITE_P(
    Steps, SelfAgentDumpFaultTest,
    testing::Combine(testing::Values("self.outside", "dump.before_freeze",
                                     "dump.verified", "dump.post_dump",
                                     "dump.released", "store.before_rename",
                                     "dump.committed", "self.dumped"),
                     testing::Values(CgroupVersion::kV1, CgroupVersion::kV2)),
    StepName);

}  // namespace
}  // namespace ckpt
