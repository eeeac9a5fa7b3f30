// A policy that is changed is in force after a SIGHUP, for all that is decided
// from then on, and one that cannot be read leaves the one before.
#include <signal.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/agent/agent_fixture.h"

namespace ckpt {
namespace {

constexpr int kPermissionDenied = 7;
constexpr char kRoot[] = "rule { local_user: '0' verb: ALL cgroup: '/' }\n";

class AgentReloadTest : public AgentTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(StartAgent("", kRoot));
    ASSERT_NO_FATAL_FAILURE(StartJob(CgroupVersion::kV2, "counter"));
  }

  static std::string RootAndNobody(const std::string& verbs) {
    return absl::StrCat(kRoot, "rule { local_user: '65534' cgroup: '/' ", verbs,
                        " }\n");
  }

  // Until the agent has reloaded with this outcome.
  void Reload(const std::string& outcome) {
    agent_->Signal(SIGHUP);
    ASSERT_NO_FATAL_FAILURE(AwaitInLog("reloaded", ++reloads_));
    const std::string log = AgentLog();
    EXPECT_TRUE(
        absl::StrContains(log.substr(log.rfind("ckptd: policy ")), outcome))
        << log;
  }

  int StatusAsNobody() const {
    return AskAsNobody({"status", "--cgroup", group_->path()}).exit_status;
  }

  int reloads_ = 0;
};

TEST_F(AgentReloadTest, ChangedPolicyIsInForceAfterSighup) {
  EXPECT_EQ(StatusAsNobody(), kPermissionDenied);
  ASSERT_NO_FATAL_FAILURE(WritePolicy(RootAndNobody("verb: STATUS")));
  EXPECT_EQ(StatusAsNobody(), kPermissionDenied);
  ASSERT_NO_FATAL_FAILURE(Reload("policy reloaded, 2 rules\n"));
  EXPECT_EQ(StatusAsNobody(), 0);
  ASSERT_NO_FATAL_FAILURE(WritePolicy(kRoot));
  ASSERT_NO_FATAL_FAILURE(Reload("policy reloaded, 1 rule\n"));
  EXPECT_EQ(StatusAsNobody(), kPermissionDenied);
}

TEST_F(AgentReloadTest, PolicyThatCannotBeTakenLeavesTheOneBefore) {
  const std::string kept = "policy not reloaded, the one before stays in force";
  ASSERT_NO_FATAL_FAILURE(WritePolicy(RootAndNobody("verb: STATUS")));
  ASSERT_NO_FATAL_FAILURE(Reload("policy reloaded"));
  ASSERT_NO_FATAL_FAILURE(WritePolicy("rule { local_user: '0' verb: ALL"));
  ASSERT_NO_FATAL_FAILURE(Reload(kept));
  EXPECT_EQ(StatusAsNobody(), 0);
  ASSERT_NO_FATAL_FAILURE(WritePolicy(kRoot, 0666));
  ASSERT_NO_FATAL_FAILURE(Reload(kept));
  EXPECT_EQ(StatusAsNobody(), 0);
  ASSERT_EQ(::unlink(ckpt_.dir().File("policy").c_str()), 0);
  ASSERT_NO_FATAL_FAILURE(Reload(kept));
  EXPECT_EQ(StatusAsNobody(), 0);
  ASSERT_NO_FATAL_FAILURE(WritePolicy(kRoot));
  ASSERT_NO_FATAL_FAILURE(Reload("policy reloaded"));
  EXPECT_EQ(StatusAsNobody(), kPermissionDenied);
}

TEST_F(AgentReloadTest, WhatWasAdmittedGoesOnWithoutItsRule) {
  ASSERT_NO_FATAL_FAILURE(WritePolicy(RootAndNobody("verb: WATCH")));
  ASSERT_NO_FATAL_FAILURE(Reload("policy reloaded"));
  const std::vector<std::string> words = {"watch", "--cgroup", group_->path(),
                                          "--until", "FROZEN"};
  RunningCkpt watch(WordsAsNobody(words), "");
  ASSERT_TRUE(watch.WaitForLines(1, Soon())) << watch.ReadErrors();
  ASSERT_NO_FATAL_FAILURE(WritePolicy(kRoot));
  ASSERT_NO_FATAL_FAILURE(Reload("policy reloaded"));
  EXPECT_EQ(AskAsNobody(words).exit_status, kPermissionDenied);
  EXPECT_EQ(Ask({"freeze", "--cgroup", group_->path()}).exit_status, 0);
  EXPECT_EQ(watch.Wait(), 0) << watch.ReadErrors();
  EXPECT_TRUE(absl::StrContains(watch.ReadOutput(), "FROZEN"));
}

}  // namespace
}  // namespace ckpt
