#include "agent/gate.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "agent/audit.pb.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

namespace ckpt::agent {
namespace {

class GateTest : public testing::Test {
 protected:
  static Policy JobsOnly() {
    const auto policy =
        Policy::Parse("rule { local_user: '7' verb: FREEZE cgroup: '/jobs' }",
                      UserNames::Real());
    EXPECT_TRUE(policy.ok()) << policy.status();
    return *policy;
  }

  static Caller Seven() {
    Caller caller;
    caller.uid = 7;
    caller.name = "uid 7";
    return caller;
  }

  AuditLine OnlyLine() {
    AuditLine line;
    EXPECT_EQ(lines_.size(), 1);
    const std::string last = lines_.empty() ? "" : lines_.back();
    absl::string_view text = last;
    EXPECT_TRUE(absl::ConsumePrefix(&text, "audit "));
    EXPECT_TRUE(
        google::protobuf::util::JsonStringToMessage(std::string(text), &line)
            .ok())
        << text;
    return line;
  }

  std::vector<std::string> lines_;
  const Gate gate_{JobsOnly(),
                   [this](const std::string& line) { lines_.push_back(line); }};
};

TEST_F(GateTest, RefusedConnectionIsWrittenDownWithItsReason) {
  gate_.RefusedConnection("certificate verify failed");
  const AuditLine line = OnlyLine();
  EXPECT_FALSE(line.allowed());
  EXPECT_EQ(line.verb(), "CONNECT");
  EXPECT_EQ(line.reason(), "certificate verify failed");
}

TEST_F(GateTest, WhereACallerCallsFromIsWrittenDown) {
  Caller caller = Seven();
  caller.address = "ipv4:10.0.0.1:4711";
  EXPECT_FALSE(gate_.Admit(caller, KILL, {"/jobs"}, "").ok());
  EXPECT_EQ(OnlyLine().address(), "ipv4:10.0.0.1:4711");
}

TEST_F(GateTest, WhatIsAllowedPassesAndIsWrittenDown) {
  EXPECT_EQ(gate_.Admit(Seven(), FREEZE, {"/jobs/a", "/jobs/b"}, ""),
            absl::OkStatus());
  const AuditLine line = OnlyLine();
  EXPECT_TRUE(line.allowed());
  EXPECT_EQ(line.caller(), "uid 7");
  EXPECT_EQ(line.verb(), "FREEZE");
  EXPECT_EQ(line.cgroups_size(), 2);
  EXPECT_FALSE(line.time().empty());
}

TEST_F(GateTest, OneForbiddenGroupOfSeveralForbidsAll) {
  const absl::Status status =
      gate_.Admit(Seven(), FREEZE, {"/jobs/a", "/other"}, "");
  EXPECT_TRUE(absl::IsPermissionDenied(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "/other"));
  EXPECT_FALSE(OnlyLine().allowed());
}

TEST_F(GateTest, VerbThatIsNowhereAllowedIsRefusedAndWrittenDown) {
  EXPECT_TRUE(absl::IsPermissionDenied(gate_.AdmitVerb(Seven(), KILL, "job1")));
  EXPECT_EQ(OnlyLine().subject(), "job1");
}

TEST_F(GateTest, FirstLookAtAnAllowedVerbIsNoDecision) {
  EXPECT_EQ(gate_.AdmitVerb(Seven(), FREEZE, "job1"), absl::OkStatus());
  EXPECT_TRUE(lines_.empty());
}

TEST_F(GateTest, PolicyThatIsPutInForceDecidesFromThenOn) {
  Gate gate(JobsOnly(), [](const std::string&) {});
  gate.Use(*Policy::Parse("rule { local_user: '7' verb: KILL cgroup: '/' }",
                          UserNames::Real()));
  EXPECT_EQ(gate.AdmitVerb(Seven(), KILL, ""), absl::OkStatus());
  EXPECT_EQ(gate.Admit(Seven(), KILL, {"/other"}, ""), absl::OkStatus());
  EXPECT_TRUE(gate.MaySee(Seven(), KILL, "/other"));
  EXPECT_TRUE(absl::IsPermissionDenied(gate.AdmitVerb(Seven(), FREEZE, "")));
  EXPECT_TRUE(
      absl::IsPermissionDenied(gate.Admit(Seven(), FREEZE, {"/jobs"}, "")));
  EXPECT_FALSE(gate.MaySee(Seven(), FREEZE, "/jobs"));
}

// Each of two policies forbids one of the groups: a decision that is partly by
// the one and partly by the other would allow both.
TEST_F(GateTest, DecisionWhileThePolicyChangesIsByOneOfThem) {
  const auto allow = [](const std::string& group) {
    return *Policy::Parse(
        absl::StrCat("rule { local_user: '7' verb: FREEZE cgroup: '", group,
                     "' }"),
        UserNames::Real());
  };
  const Policy one = allow("/a"), other = allow("/b");
  Gate gate(one, [](const std::string&) {});
  std::atomic<int> allowed = 0;
  std::atomic<bool> end = false;
  std::thread caller([&] {
    while (!end) allowed += gate.Admit(Seven(), FREEZE, {"/a", "/b"}, "").ok();
  });
  for (int i = 0; i < 20000; ++i) gate.Use(i % 2 == 0 ? other : one);
  end = true;
  caller.join();
  EXPECT_EQ(allowed, 0);
}

TEST_F(GateTest, LongNamesAreCut) {
  (void)gate_.AdmitVerb(Seven(), KILL, std::string(1 << 20, 'x'));
  EXPECT_LT(lines_[0].size(), 2000);
  EXPECT_TRUE(absl::StrContains(OnlyLine().subject(), "1048576 bytes"));
  lines_.clear();
  (void)gate_.Admit(Seven(), KILL, std::vector<std::string>(500, "/a"), "");
  EXPECT_EQ(OnlyLine().cgroups_size(), 101);
  EXPECT_EQ(OnlyLine().cgroups(100), "and 400 more");
}

TEST_F(GateTest, NameWithLineBreaksCannotForgeALine) {
  (void)gate_.AdmitVerb(Seven(), KILL, "x\naudit {\"allowed\":true}\n");
  ASSERT_EQ(lines_.size(), 1);
  EXPECT_EQ(lines_[0].find('\n'), lines_[0].size() - 1);
  EXPECT_FALSE(OnlyLine().allowed());
}

}  // namespace
}  // namespace ckpt::agent
