// What an agent does with images, jobs of `ckpt run` and what killed ckpts have
// left: the same as is done locally, by the policy.
#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "gtest/gtest.h"
#include "tests/agent/agent_fixture.h"

namespace ckpt {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(5);
constexpr int kInvalidArgument = 3;
constexpr int kNotFound = 5;
constexpr int kPermissionDenied = 7;
constexpr int kFailedPrecondition = 9;

class AgentVerbsTest : public AgentTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(StartAgent());
    ASSERT_NO_FATAL_FAILURE(StartJob(CgroupVersion::kV2, "counter"));
  }

  // The same report there as here.
  void ExpectSame(const std::vector<std::string>& words) const {
    const CommandResult here = ckpt_.Run(words);
    const CommandResult there = Ask(words);
    EXPECT_EQ(there.exit_status, here.exit_status) << there.err;
    EXPECT_EQ(there.out, here.out);
  }
};

TEST_F(AgentVerbsTest, ImageIsPinnedAndUnpinned) {
  ASSERT_EQ(Ask({"dump", "--cgroup", group_->path(), "--image", "kept",
                 "--leave-running"})
                .exit_status,
            0);
  const CommandResult pinned = Ask({"pin", "kept"});
  EXPECT_EQ(pinned.exit_status, 0) << pinned.err;
  EXPECT_TRUE(absl::StrContains(pinned.out, "is pinned")) << pinned.out;
  EXPECT_TRUE(absl::StrContains(Ask({"pin", "kept"}).out, "nothing to do"));
  EXPECT_EQ(Ask({"remove", "kept"}).exit_status, kFailedPrecondition);
  EXPECT_EQ(Ask({"unpin", "kept"}).exit_status, 0);
  EXPECT_EQ(Ask({"remove", "kept"}).exit_status, 0);
  EXPECT_EQ(Ask({"pin", "kept"}).exit_status, kNotFound);
  EXPECT_EQ(Ask({"pin", ckpt_.dir().File("x")}).exit_status, kInvalidArgument);
}

TEST_F(AgentVerbsTest, LegalityOfACheckpointIsToldAsLocally) {
  const std::vector<std::string> words = {"verify-freeze", "--cgroup",
                                          group_->path(), "--tree",
                                          absl::StrCat(root_)};
  EXPECT_EQ(Ask(words).exit_status, kFailedPrecondition);
  ASSERT_EQ(Ask({"freeze", "--cgroup", group_->path()}).exit_status, 0);
  ExpectSame(words);
  EXPECT_EQ(Ask(words).exit_status, 0);
  EXPECT_EQ(Ask({"thaw", "--cgroup", group_->path()}).exit_status, 0);
}

TEST_F(AgentVerbsTest, NothingToRecoverIsToldAsLocally) {
  ExpectSame({"recover", "--dry-run"});
  ExpectSame({"recover"});
}

TEST_F(AgentVerbsTest, EachIsRefusedToCallersWithoutARule) {
  const std::vector<std::vector<std::string>> all = {
      {"pin", "x"},
      {"unpin", "x"},
      {"verify-freeze", "--cgroup", group_->path(), "--tree", "1"},
      {"recover"},
      {"ps"},
      {"suspend", "x"},
      {"resume", "x"},
      {"stop", "x"},
      {"kill", "x"},
      {"logs", "x"}};
  for (const auto& words : all) {
    const CommandResult result = AskAsNobody(words);
    EXPECT_EQ(result.exit_status, kPermissionDenied)
        << words[0] << ": " << result.err;
    EXPECT_TRUE(absl::StrContains(result.err, "nothing was touched"))
        << result.err;
  }
  ExpectJobRuns();
}

class AgentRunTest : public AgentVerbsTest {
 protected:
  static constexpr char kName[] = "counting";

  // A job of `ckpt run` that prints 1, 2, 3 ... in a group of its own.
  void StartRun() {
    auto frames = TestCgroup::Create(CgroupVersion::kV2);
    ASSERT_TRUE(frames.ok()) << frames.status();
    frames_ = *std::move(frames);
    run_ = std::make_unique<RunningCkpt>(
        ckpt_.CommandLine(
            {"run", "--name", kName, "--cgroup", frames_->path(), "--store",
             ckpt_.store(), "--", "python3", "-c",
             "import itertools, time\nfor i in itertools.count(1):\n"
             "  print(i, flush=True)\n  time.sleep(0.002)"}),
        "");
    const absl::Time deadline = Soon();
    while (!absl::StrContains(Ask({"logs", kName}).out, "\n2\n")) {
      ASSERT_LT(Clock::Real().Now(), deadline) << run_->ReadErrors();
      Clock::Real().Sleep(kPoll);
    }
  }

  void TearDown() override {
    run_.reset();
    frames_.reset();
  }

  std::unique_ptr<TestCgroup> frames_;
  std::unique_ptr<RunningCkpt> run_;
};

TEST_F(AgentRunTest, JobIsListedSuspendedReadResumedAndStopped) {
  ASSERT_NO_FATAL_FAILURE(StartRun());
  EXPECT_TRUE(absl::StrContains(Ask({"ps"}).out, kName));
  const CommandResult suspended = Ask({"suspend", kName});
  ASSERT_EQ(suspended.exit_status, 0) << suspended.err;
  EXPECT_TRUE(absl::StrContains(suspended.out, "suspended")) << suspended.out;
  // Nothing is printed any more: the same here and there.
  const std::string here =
      ckpt_.Run({"logs", kName, "--store", ckpt_.store()}).out;
  EXPECT_EQ(Ask({"logs", kName}).out, here);
  EXPECT_EQ(Ask({"logs", kName, "--error"}).out, "");
  const CommandResult resumed = Ask({"resume", kName});
  EXPECT_EQ(resumed.exit_status, 0) << resumed.err;
  EXPECT_TRUE(absl::StrContains(resumed.out, "running")) << resumed.out;
  const CommandResult stopped = Ask({"stop", kName, "--timeout", "60s"});
  EXPECT_EQ(stopped.exit_status, 0) << stopped.err;
  EXPECT_EQ(run_->Wait(), 128 + SIGTERM);
  EXPECT_EQ(Ask({"suspend", kName}).exit_status, kNotFound);
  // What it has printed can be read still, and following it has an end.
  EXPECT_EQ(Ask({"logs", kName, "--follow"}).out,
            ckpt_.Run({"logs", kName, "--store", ckpt_.store()}).out);
}

TEST_F(AgentRunTest, JobIsKilled) {
  ASSERT_NO_FATAL_FAILURE(StartRun());
  const CommandResult killed = Ask({"kill", kName, "--timeout", "60s"});
  EXPECT_EQ(killed.exit_status, 0) << killed.err;
  EXPECT_EQ(run_->Wait(), 128 + SIGKILL);
  EXPECT_FALSE(absl::StrContains(Ask({"ps"}).out, kName));
}

}  // namespace
}  // namespace ckpt
