// ckptd is killed at every named point of a dump that it does for somebody: the
// job runs again or its image is whole, its next life knows of the dump and
// does not do it again, and nothing is in the way of the next one.

#include <signal.h>

#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "tests/agent/agent_fixture.h"

namespace ckpt {
namespace {

constexpr int kAborted = 10, kUnavailable = 14;

using PointCase = std::tuple<std::string, CgroupVersion, bool>;

class AgentFaultTest : public AgentTest,
                       public testing::WithParamInterface<PointCase> {};

TEST_P(AgentFaultTest, LosesNothingAndDoesNothingTwice) {
  const auto& [point, version, leaves] = GetParam();
  ASSERT_NO_FATAL_FAILURE(StartAgent(absl::StrCat(point, "=kill")));
  ASSERT_NO_FATAL_FAILURE(StartJob(version, "threads"));
  std::vector<std::string> dump = {"dump",    "--cgroup", group_->path(),
                                   "--image", "image",    "--operation",
                                   "op1"};
  if (leaves) dump.push_back("--leave-running");
  EXPECT_EQ(Ask(dump).exit_status, kUnavailable);
  EXPECT_EQ(agent_->Wait(), 128 + SIGKILL);

  ASSERT_NO_FATAL_FAILURE(StartAgent());
  ReapAll();
  const CommandResult again = Ask(dump);
  EXPECT_EQ(again.exit_status, kAborted) << again.err;
  if (group_->Processes().empty()) {
    EXPECT_TRUE(ImageIsWhole("image")) << "the job is gone, and its image too";
    EXPECT_TRUE(absl::StrContains(again.err, "image image is whole"))
        << again.err;
    return;
  }
  EXPECT_EQ(group_->AwaitState(CgroupState::kThawed, Soon()), absl::OkStatus());
  ExpectJobRuns();
  EXPECT_EQ(absl::StrContains(again.err, "there is no image"),
            !ImageIsWhole("image"))
      << again.err;
  const CommandResult next =
      AskUntilFree({"dump", "--cgroup", group_->path(), "--image", "next"});
  EXPECT_EQ(next.exit_status, 0) << next.err;
  EXPECT_TRUE(ImageIsWhole("next"));
  const auto rest =
      RunCommand({"find", ckpt_.store(), "-maxdepth", "1", "-name", ".ckpt-*"});
  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(rest->out, "");
}

INSTANTIATE_TEST_SUITE_P(
    All, AgentFaultTest,
    testing::Combine(testing::Values("dump.before_freeze", "dump.frozen",
                                     "dump.verified", "dump.post_dump",
                                     "store.before_manifest",
                                     "store.before_rename",
                                     "store.after_rename", "dump.committed"),
                     testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                     testing::Values(false, true)),
    [](const auto& info) {
      return absl::StrCat(
          absl::StrReplaceAll(std::get<0>(info.param), {{".", "_"}}), "_",
          CgroupVersionName(std::get<1>(info.param)), "_",
          std::get<2>(info.param) ? "leaverunning" : "kill");
    });

class AgentRestoreFaultTest : public AgentTest,
                              public testing::WithParamInterface<std::string> {
};

TEST_P(AgentRestoreFaultTest, LeavesNoJobOrAWholeOne) {
  ASSERT_NO_FATAL_FAILURE(StartAgent(absl::StrCat(GetParam(), "=kill")));
  ASSERT_NO_FATAL_FAILURE(StartJob(CgroupVersion::kV2, "threads"));
  const CommandResult dump =
      Ask({"dump", "--cgroup", group_->path(), "--image", "image"});
  ASSERT_EQ(dump.exit_status, 0) << dump.err;
  ReapAll();
  EXPECT_EQ(Ask({"restore", "image", "--operation", "op2"}).exit_status,
            kUnavailable);
  EXPECT_EQ(agent_->Wait(), 128 + SIGKILL);
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  EXPECT_EQ(Ask({"restore", "image", "--operation", "op2"}).exit_status,
            kAborted);
  ReapAll();
  EXPECT_TRUE(group_->Processes().empty());
  const CommandResult next = AskUntilFree({"restore", "image"});
  EXPECT_EQ(next.exit_status, 0) << next.err;
  ExpectJobRuns();
}

INSTANTIATE_TEST_SUITE_P(All, AgentRestoreFaultTest,
                         testing::Values("restore.before_criu", "restore.built",
                                         "restore.placed",
                                         "restore.before_release"),
                         [](const auto& info) {
                           return absl::StrReplaceAll(info.param, {{".", "_"}});
                         });

}  // namespace
}  // namespace ckpt
