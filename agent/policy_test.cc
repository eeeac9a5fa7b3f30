#include "agent/policy.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/support/test_dir.h"

namespace ckpt::agent {
namespace {

class FakeUserNames : public UserNames {
 public:
  absl::StatusOr<uid_t> UserNumber(const std::string& name) override {
    if (name == "alice") return 1000;
    return absl::NotFoundError(absl::StrCat("there is no user ", name));
  }
  absl::StatusOr<gid_t> GroupNumber(const std::string& name) override {
    if (name == "batch") return 700;
    return absl::NotFoundError(absl::StrCat("there is no group ", name));
  }
  std::string UserName(uid_t) override { return ""; }
};

Caller User(uid_t uid, std::vector<gid_t> gids = {}) {
  Caller caller;
  caller.uid = uid;
  caller.gids = std::move(gids);
  return caller;
}

Caller Client(std::vector<std::string> names) {
  Caller caller;
  caller.clients = std::move(names);
  return caller;
}

Policy Parsed(const std::string& text) {
  FakeUserNames names;
  auto policy = Policy::Parse(text, names);
  EXPECT_TRUE(policy.ok()) << policy.status();
  return policy.ok() ? *policy : Policy();
}

std::string WhyNot(const std::string& text) {
  FakeUserNames names;
  const auto policy = Policy::Parse(text, names);
  EXPECT_TRUE(absl::IsInvalidArgument(policy.status())) << policy.status();
  return std::string(policy.status().message());
}

constexpr char kAlice[] =
    "# a comment\n"
    "rule { local_user: 'alice' verb: FREEZE verb: THAW cgroup: '/jobs' }\n"
    "rule { local_group: 'batch' verb: ALL cgroup: '/batch' }\n";

TEST(PolicyTest, ClientsAreKnownByAnyNameOfTheirCertificateToTheLetter) {
  const Policy policy = Parsed(
      "rule { client: 'node2' client: 'spiffe://x/ctl' verb: DUMP cgroup: "
      "'/jobs' }");
  EXPECT_TRUE(policy.Allows(Client({"node2"}), DUMP, "/jobs/a"));
  EXPECT_TRUE(policy.Allows(Client({"a", "spiffe://x/ctl"}), DUMP, "/jobs"));
  EXPECT_FALSE(policy.Allows(Client({"node2"}), RESTORE, "/jobs"));
  EXPECT_FALSE(policy.Allows(Client({"node2"}), DUMP, "/other"));
  for (const char* const name :
       {"node", "node22", "NODE2", "spiffe://x/ctl/", "*", ""}) {
    EXPECT_FALSE(policy.AllowsSomewhere(Client({name}), DUMP)) << name;
  }
  EXPECT_FALSE(policy.AllowsSomewhere(Client({}), DUMP));
}

TEST(PolicyTest, UsersAndClientsAreNotTakenForEachOther) {
  const Policy policy =
      Parsed("rule { client: '0' client: 'root' verb: ALL cgroup: '/' }");
  EXPECT_FALSE(policy.AllowsSomewhere(User(0, {0}), DUMP));
  EXPECT_FALSE(
      Policy::WithoutFile().AllowsSomewhere(Client({"root", "0"}), DUMP));
}

TEST(PolicyTest, AllowsWhatARuleNames) {
  const Policy policy = Parsed(kAlice);
  EXPECT_TRUE(policy.Allows(User(1000), FREEZE, "/jobs"));
  EXPECT_TRUE(policy.Allows(User(1000), THAW, "/jobs/a/b"));
  EXPECT_EQ(policy.rule_count(), 2);
}

TEST(PolicyTest, ForbidsEveryOtherVerbUserAndGroup) {
  const Policy policy = Parsed(kAlice);
  EXPECT_FALSE(policy.Allows(User(1000), KILL, "/jobs"));
  EXPECT_FALSE(policy.Allows(User(1001), FREEZE, "/jobs"));
  EXPECT_FALSE(policy.Allows(User(1000), FREEZE, "/other"));
  EXPECT_FALSE(policy.Allows(User(1000), FREEZE, "/"));
  EXPECT_FALSE(policy.Allows(Caller(), FREEZE, "/jobs"));
}

TEST(PolicyTest, RootHasNoRightsOfItsOwn) {
  EXPECT_FALSE(Parsed(kAlice).Allows(User(0), FREEZE, "/jobs"));
}

TEST(PolicyTest, NameThatBeginsAlikeIsAnotherGroup) {
  EXPECT_FALSE(Parsed(kAlice).Allows(User(1000), FREEZE, "/jobs2"));
  EXPECT_FALSE(Parsed(kAlice).Allows(User(1000), FREEZE, "/jobs.slice/a"));
}

TEST(PolicyTest, SupplementaryGroupCounts) {
  const Policy policy = Parsed(kAlice);
  EXPECT_TRUE(policy.Allows(User(1, {5, 700}), DUMP, "/batch/1"));
  EXPECT_FALSE(policy.Allows(User(1, {5}), DUMP, "/batch/1"));
}

TEST(PolicyTest, RulesAreNotMixed) {
  // alice may freeze /jobs, the group may do all in /batch: no more.
  const Policy policy = Parsed(kAlice);
  EXPECT_FALSE(policy.Allows(User(1000, {700}), KILL, "/jobs"));
}

TEST(PolicyTest, TopIsEveryGroup) {
  const Policy policy =
      Parsed("rule { local_user: '7' verb: STATUS cgroup: '/' }");
  EXPECT_TRUE(policy.Allows(User(7), STATUS, "/"));
  EXPECT_TRUE(policy.Allows(User(7), STATUS, "/x/y"));
}

TEST(PolicyTest, TellsWhetherAVerbIsAllowedSomewhere) {
  const Policy policy = Parsed(kAlice);
  EXPECT_TRUE(policy.AllowsSomewhere(User(1000), THAW));
  EXPECT_FALSE(policy.AllowsSomewhere(User(1000), CHECK));
}

TEST(PolicyTest, EmptyPolicyForbidsAll) {
  EXPECT_FALSE(Parsed("").Allows(User(0), STATUS, "/"));
}

TEST(PolicyTest, WithoutAFileRootMayDoAllAndOthersCheckpointThemselves) {
  const Policy policy = Policy::WithoutFile();
  EXPECT_TRUE(policy.Allows(User(0), REMOVE, "/a"));
  EXPECT_TRUE(policy.Allows(User(1), SELF_DUMP, "/a"));
  EXPECT_FALSE(policy.Allows(User(1), STATUS, "/a"));
  EXPECT_FALSE(policy.Allows(Caller(), SELF_DUMP, "/a"));
}

TEST(PolicyTest, StarIsEveryUserOfTheMachine) {
  const Policy policy =
      Parsed("rule { local_user: '*' verb: SELF_DUMP cgroup: '/jobs' }");
  EXPECT_TRUE(policy.Allows(User(0), SELF_DUMP, "/jobs/a"));
  EXPECT_TRUE(policy.Allows(User(4711), SELF_DUMP, "/jobs"));
  EXPECT_FALSE(policy.Allows(User(4711), SELF_DUMP, "/other"));
  EXPECT_FALSE(policy.Allows(User(4711), DUMP, "/jobs"));
  EXPECT_FALSE(policy.Allows(Caller(), SELF_DUMP, "/jobs"));
}

TEST(PolicyTest, MistakesAreRefusedWithTheirPlace) {
  EXPECT_NE(WhyNot("rule {\n verb: FREZE }").find("line 2"), std::string::npos);
  EXPECT_NE(WhyNot("rule { local_user: 'bob' verb: ALL cgroup: '/' }")
                .find("rule 1: there is no user bob"),
            std::string::npos);
  EXPECT_NE(WhyNot(absl::StrCat(kAlice, "rule { verb: ALL cgroup: '/' }"))
                .find("rule 3: it has no local_user"),
            std::string::npos);
  EXPECT_NE(WhyNot("rule { local_user: '0' cgroup: '/' }").find("no verb"),
            std::string::npos);
  EXPECT_NE(WhyNot("rule { local_user: '0' verb: ALL }").find("no cgroup"),
            std::string::npos);
  for (const char* path : {"jobs", "/jobs/", "//jobs", "/a/../b", ""}) {
    EXPECT_NE(WhyNot(absl::StrCat("rule { local_user: '0' verb: ALL cgroup: '",
                                  path, "' }"))
                  .find("cgroup"),
              std::string::npos);
  }
}

class PolicyFileTest : public testing::Test {
 protected:
  void Write(const std::string& text, mode_t mode) {
    std::ofstream(path_) << text;
    ASSERT_EQ(::chmod(path_.c_str(), mode), 0);
  }

  TestDir dir_;
  const std::string path_ = dir_.File("policy");
  FakeUserNames names_;
};

TEST_F(PolicyFileTest, IsRead) {
  Write(kAlice, 0644);
  const auto policy = Policy::Load(path_, names_);
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_TRUE(policy->Allows(User(1000), FREEZE, "/jobs"));
}

TEST_F(PolicyFileTest, ThatOthersMayChangeIsRefused) {
  Write(kAlice, 0664);
  EXPECT_TRUE(absl::IsFailedPrecondition(Policy::Load(path_, names_).status()));
}

TEST_F(PolicyFileTest, FifoIsRefusedAndNotWaitedFor) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(Policy::Load(path_, names_).status()));
}

TEST_F(PolicyFileTest, ThatDoesNotExistIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(Policy::Load(path_, names_).status()));
}

TEST_F(PolicyFileTest, MistakeNamesTheFile) {
  Write("rule", 0600);
  const auto policy = Policy::Load(path_, names_);
  EXPECT_NE(policy.status().message().find(path_), absl::string_view::npos);
}

}  // namespace
}  // namespace ckpt::agent
