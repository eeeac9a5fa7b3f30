// What ckpt does through an agent: the same as by itself, for whoever may, once
// for each id, and undone when it is cancelled.

#include <signal.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "gtest/gtest.h"
#include "tests/agent/agent_fixture.h"
#include "tests/support/blocked_task.h"

namespace ckpt {
namespace {

constexpr int kCancelled = 1, kAlreadyExists = 6, kPermissionDenied = 7,
              kInvalidArgument = 3, kNotFound = 5, kUnavailable = 14;

class AgentOnBothTest : public AgentTest,
                        public testing::WithParamInterface<CgroupVersion> {};

INSTANTIATE_TEST_SUITE_P(All, AgentOnBothTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return CgroupVersionName(info.param);
                         });

TEST_P(AgentOnBothTest, FreezesTellsAndThawsAsItIsDoneLocally) {
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  ASSERT_NO_FATAL_FAILURE(StartJob(GetParam(), "counter"));
  const std::string path = group_->path();
  const CommandResult frozen = Ask({"freeze", "--cgroup", path});
  EXPECT_EQ(frozen.exit_status, 0) << frozen.err;
  EXPECT_TRUE(absl::StrContains(frozen.out, "THAWED -> FROZEN")) << frozen.out;
  EXPECT_EQ(group_->AwaitState(CgroupState::kFrozen, Soon()), absl::OkStatus());
  // A frozen job's status is the same each time, to the byte.
  EXPECT_EQ(Ask({"status", "--cgroup", path}).out,
            ckpt_.Run({"status", "--cgroup", path}).out);
  EXPECT_EQ(Ask({"thaw", "--cgroup", path}).exit_status, 0);
  ExpectJobRuns();
  EXPECT_EQ(Ask({"kill", "--cgroup", path}).exit_status, 0);
  EXPECT_TRUE(group_->Processes().empty());
}

TEST_P(AgentOnBothTest, DumpsAndRestoresTwice) {
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  ASSERT_NO_FATAL_FAILURE(StartJob(GetParam(), "threads"));
  for (const std::string image : {"first", "second"}) {
    const CommandResult dump =
        Ask({"dump", "--cgroup", group_->path(), "--image", image});
    ASSERT_EQ(dump.exit_status, 0) << dump.err;
    EXPECT_TRUE(absl::StrContains(dump.out, "the job was killed")) << dump.out;
    EXPECT_TRUE(ImageIsWhole(image));
    ReapAll();
    const CommandResult restore = Ask({"restore", image});
    ASSERT_EQ(restore.exit_status, 0) << restore.err;
    ExpectJobRuns();
  }
  EXPECT_EQ(Ask({"list"}).out, ckpt_.Run({"list"}).out);
  EXPECT_EQ(Ask({"show", "first"}).out, ckpt_.Run({"show", "first"}).out);
  EXPECT_EQ(Ask({"verify", "first"}).exit_status, 0);
  EXPECT_EQ(Ask({"remove", "first"}).exit_status, 0);
  EXPECT_EQ(Ask({"show", "first"}).exit_status, kNotFound);
}

// The image is in another store of this machine.
TEST_P(AgentOnBothTest, ImageThatTheNodeLacksIsSentBeforeItIsRestored) {
  const std::string here = ckpt_.dir().File("here");
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  ASSERT_NO_FATAL_FAILURE(StartJob(GetParam(), "threads"));
  for (const std::string image : {"first", "second"}) {
    const CommandResult dump =
        CkptWith(here, {"dump", "--cgroup", group_->path(), "--image", image});
    ASSERT_EQ(dump.exit_status, 0) << dump.err;
    EXPECT_FALSE(ImageIsWhole(image));
    ReapAll();
    const CommandResult restore =
        CkptWith(here, {"restore", image, "--node", node()});
    ASSERT_EQ(restore.exit_status, 0) << restore.err;
    EXPECT_TRUE(ImageIsWhole(image));
    ExpectJobRuns();
  }
  // The second time it is there, and is not sent again.
  ASSERT_EQ(Ask({"kill", "--cgroup", group_->path()}).exit_status, 0);
  ReapAll();
  ASSERT_EQ(CkptWith(here, {"remove", "second"}).exit_status, 0);
  const CommandResult again =
      CkptWith(here, {"restore", "second", "--node", node()});
  ASSERT_EQ(again.exit_status, 0) << again.err;
  ExpectJobRuns();
}

TEST_P(AgentOnBothTest, ImageThatIsNowhereIsNotRestored) {
  const std::string here = ckpt_.dir().File("here");
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  const CommandResult restore =
      CkptWith(here, {"restore", "none", "--node", node()});
  EXPECT_EQ(restore.exit_status, kNotFound) << restore.err;
}

TEST_P(AgentOnBothTest, FreezeThatFailsNamesItsBlockersOverTheNetwork) {
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  ASSERT_NO_FATAL_FAILURE(StartJob(GetParam(), "counter"));
  auto blocked =
      BlockedTask::Start(BlockedTask::Kind::kFuseRead, {group_.get()});
  ASSERT_TRUE(blocked.ok()) << blocked.status();
  const CommandResult result =
      Ask({"freeze", "--cgroup", group_->path(), "--timeout", "200ms"});
  EXPECT_EQ(result.exit_status, kUnavailable);
  EXPECT_TRUE(absl::StrContains(result.err, "blocked-task")) << result.err;
  ExpectJobRuns();
}

TEST_P(AgentOnBothTest, WatchTellsOfAChangeAndEndsAtItsGoal) {
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  ASSERT_NO_FATAL_FAILURE(StartJob(GetParam(), "counter"));
  RunningCkpt watch(
      Words({"watch", "--cgroup", group_->path(), "--until", "FROZEN"}), "");
  ASSERT_TRUE(watch.WaitForLines(1, Soon())) << watch.ReadErrors();
  EXPECT_EQ(Ask({"freeze", "--cgroup", group_->path()}).exit_status, 0);
  EXPECT_EQ(watch.Wait(), 0) << watch.ReadErrors();
  EXPECT_TRUE(absl::StrContains(watch.ReadOutput(), "FROZEN"));
}

class AgentOperationTest : public AgentTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(StartAgent());
    ASSERT_NO_FATAL_FAILURE(StartJob(CgroupVersion::kV2, "counter"));
  }

  std::vector<std::string> Dump(const std::string& image) const {
    return {"dump", "--cgroup",    group_->path(), "--image",
            image,  "--operation", "op1"};
  }

  // Keeps a dump in its freeze, until the dump gives up after 10 seconds.
  void Block() {
    // Below the job's group: in it, it would be a second tree.
    auto inner = group_->CreateChild("inner");
    ASSERT_TRUE(inner.ok()) << inner.status();
    inner_ = *std::move(inner);
    auto blocked =
        BlockedTask::Start(BlockedTask::Kind::kFuseRead, {inner_.get()});
    ASSERT_TRUE(blocked.ok()) << blocked.status();
    blocked_ = *std::move(blocked);
  }

  void TearDown() override {
    blocked_.reset();
    inner_.reset();
  }

  std::unique_ptr<TestCgroup> inner_;
  std::unique_ptr<BlockedTask> blocked_;
};

TEST_F(AgentOperationTest, SameIdIsDoneOnce) {
  std::vector<std::string> dump = Dump("image");
  dump.push_back("--leave-running");
  const CommandResult first = Ask(dump);
  ASSERT_EQ(first.exit_status, 0) << first.err;
  const CommandResult again = Ask(dump);
  EXPECT_EQ(again.exit_status, 0) << again.err;
  EXPECT_EQ(again.out, first.out);
  EXPECT_EQ(Ask(Dump("other")).exit_status, kAlreadyExists);
  EXPECT_FALSE(ImageIsWhole("other"));
  ExpectJobRuns();
}

TEST_F(AgentOperationTest, SameIdAfterTheJobAndItsGroupHaveGoneIsStillKnown) {
  const CommandResult first = Ask(Dump("image"));
  ASSERT_EQ(first.exit_status, 0) << first.err;
  const std::vector<std::string> dump = Dump("image");
  group_.reset();
  EXPECT_EQ(Ask(dump).out, first.out);
}

TEST_F(AgentOperationTest, OneOperationAtATimeAndCancelUndoesIt) {
  ASSERT_NO_FATAL_FAILURE(Block());
  RunningCkpt dump(Words(Dump("image")), "");
  ASSERT_TRUE(AwaitPhase("op1", "FREEZE")) << dump.ReadErrors();
  const CommandResult thaw = Ask({"thaw", "--cgroup", group_->path()});
  EXPECT_EQ(thaw.exit_status, kUnavailable);
  EXPECT_TRUE(absl::StrContains(thaw.err, "op1")) << thaw.err;
  EXPECT_EQ(Ask({"ops", "cancel", "op1"}).exit_status, 0);
  EXPECT_EQ(dump.Wait(), kCancelled) << dump.ReadErrors();
  EXPECT_FALSE(ImageIsWhole("image"));
  EXPECT_EQ(Ask({"ops", "watch", "op1"}).exit_status, kCancelled);
  ExpectJobRuns();
}

TEST_F(AgentOperationTest, InterruptOfTheClientCancelsThere) {
  ASSERT_NO_FATAL_FAILURE(Block());
  RunningCkpt dump(Words(Dump("image")), "");
  ASSERT_TRUE(AwaitPhase("op1", "FREEZE")) << dump.ReadErrors();
  dump.Signal(SIGINT);
  EXPECT_EQ(dump.Wait(), kCancelled) << dump.ReadErrors();
  ExpectJobRuns();
}

TEST_F(AgentOperationTest, ClientThatDiesLeavesTheOperation) {
  ASSERT_NO_FATAL_FAILURE(Block());
  RunningCkpt dump(Words(Dump("image")), "");
  ASSERT_TRUE(AwaitPhase("op1", "FREEZE")) << dump.ReadErrors();
  dump.Signal(SIGKILL);
  (void)dump.Wait();
  // Asked again, it is attached to; and ends when it is cancelled.
  RunningCkpt again(Words(Dump("image")), "");
  EXPECT_EQ(Ask({"ops", "cancel", "op1"}).exit_status, 0);
  EXPECT_EQ(again.Wait(), kCancelled) << again.ReadErrors();
  ExpectJobRuns();
}

TEST_F(AgentOperationTest, StopEndsByUndoingOnASecondSignal) {
  ASSERT_NO_FATAL_FAILURE(Block());
  RunningCkpt dump(Words(Dump("image")), "");
  ASSERT_TRUE(AwaitPhase("op1", "FREEZE")) << dump.ReadErrors();
  agent_->Signal(SIGTERM);
  const absl::Time deadline = Soon();
  while (!absl::StrContains(AgentLog(), "stopping") &&
         Clock::Real().Now() < deadline) {
  }
  agent_->Signal(SIGTERM);
  EXPECT_EQ(agent_->Wait(), 0) << AgentLog();
  EXPECT_EQ(dump.Wait(), kCancelled) << dump.ReadErrors();
  ExpectJobRuns();
}

TEST_F(AgentOperationTest, StopLetsADumpEnd) {
  ASSERT_EQ(Ask(Dump("image")).exit_status, 0);
  agent_->Signal(SIGTERM);
  EXPECT_EQ(agent_->Wait(), 0) << AgentLog();
  // The next agent knows what the former has done.
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  const CommandResult known = Ask({"ops"});
  EXPECT_TRUE(absl::StrContains(known.out, "SUCCEEDED")) << known.out;
}

TEST_F(AgentOperationTest, SecondAgentOnTheSameSocketIsRefused) {
  RunningCkpt second({RunfilesPath("agent/ckptd"), "--socket", socket_}, "");
  EXPECT_EQ(second.Wait(), kAlreadyExists) << second.ReadErrors();
  EXPECT_EQ(Ask({"ops"}).exit_status, 0);
}

class AgentPolicyTest : public AgentTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(StartJob(CgroupVersion::kV2, "counter"));
  }

  // "/ckpt-test-1-2"
  std::string Path() const {
    return group_->path().substr(group_->path().rfind('/'));
  }

  void ExpectRefused(const CommandResult& result, int code) {
    EXPECT_EQ(result.exit_status, code) << result.err;
    EXPECT_TRUE(absl::StrContains(result.err, "nothing was touched"))
        << result.err;
    EXPECT_EQ(*group_->State(), CgroupState::kThawed);
    ExpectJobRuns();
  }

  void ExpectAudited(const std::string& verb) {
    EXPECT_TRUE(
        absl::StrContains(AgentLog(), absl::StrCat("\"verb\":\"", verb, "\"")));
    EXPECT_TRUE(absl::StrContains(AgentLog(), "\"allowed\":false"))
        << AgentLog();
  }
};

TEST_F(AgentPolicyTest, CallerWithoutARuleIsRefused) {
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  ExpectRefused(AskAsNobody({"freeze", "--cgroup", group_->path()}),
                kPermissionDenied);
  ExpectAudited("FREEZE");
  EXPECT_TRUE(absl::StrContains(AgentLog(), "uid 65534")) << AgentLog();
}

TEST_F(AgentPolicyTest, EveryVerbIsRefusedToCallersWithoutARule) {
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  const std::string path = group_->path();
  const std::vector<std::vector<std::string>> all = {
      {"thaw", "--cgroup", path},
      {"kill", "--cgroup", path},
      {"status", "--cgroup", path},
      {"watch", "--cgroup", path},
      {"dump", "--cgroup", path, "--image", "x"},
      {"restore", "x"},
      {"check"},
      {"list"},
      {"show", "x"},
      {"verify", "x"},
      {"remove", "x"},
      {"ops"},
      {"ops", "watch", "x"},
      {"ops", "cancel", "x"}};
  for (const auto& words : all) {
    SCOPED_TRACE(words[0]);
    ExpectRefused(AskAsNobody(words), kPermissionDenied);
  }
}

TEST_F(AgentPolicyTest, OtherVerbAndOtherGroupAreRefused) {
  ASSERT_NO_FATAL_FAILURE(StartAgent(
      "", absl::StrCat("rule { local_user: '65534' verb: STATUS cgroup: '",
                       Path(), "' }\n",
                       "rule { local_group: '65534' verb: FREEZE cgroup: "
                       "'/elsewhere' }")));
  EXPECT_EQ(AskAsNobody({"status", "--cgroup", group_->path()}).exit_status, 0);
  ExpectRefused(AskAsNobody({"kill", "--cgroup", group_->path()}),
                kPermissionDenied);
  ExpectRefused(AskAsNobody({"freeze", "--cgroup", group_->path()}),
                kPermissionDenied);
  ExpectAudited("FREEZE");
  // Root is not in that policy, and has no rights of its own.
  ExpectRefused(Ask({"freeze", "--cgroup", group_->path()}), kPermissionDenied);
}

TEST_F(AgentPolicyTest, ImagesOfOtherGroupsAreNeitherSeenNorRestored) {
  ASSERT_NO_FATAL_FAILURE(StartAgent(
      "",
      "rule { local_user: '0' verb: ALL cgroup: '/' }\n"
      "rule { local_user: '65534' verb: ALL cgroup: '/elsewhere' }"));
  ASSERT_EQ(Ask({"dump", "--cgroup", group_->path(), "--image", "secret",
                 "--leave-running"})
                .exit_status,
            0);
  EXPECT_EQ(AskAsNobody({"list"}).out, "no images\n");
  EXPECT_EQ(AskAsNobody({"ops"}).out, "no operations\n");
  for (const char* verb : {"show", "verify", "remove"}) {
    ExpectRefused(AskAsNobody({verb, "secret"}), kPermissionDenied);
  }
  ExpectRefused(AskAsNobody({"restore", "secret", "--cgroup", "elsewhere"}),
                kPermissionDenied);
  EXPECT_TRUE(ImageIsWhole("secret"));
}

TEST_F(AgentPolicyTest, FilesOfTheNodeAreNotForRemoteCallers) {
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  ExpectRefused(Ask({"dump", "--cgroup", group_->path(), "--image",
                     ckpt_.dir().File("anywhere")}),
                kInvalidArgument);
  ExpectRefused(Ask({"dump", "--cgroup", group_->path(), "--image", "x",
                     "--external", "mnt[/etc]:key"}),
                kInvalidArgument);
}

}  // namespace
}  // namespace ckpt
