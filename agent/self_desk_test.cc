#include "agent/self_desk.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/policy.h"
#include "agent/self_work.h"
#include "gtest/gtest.h"

namespace ckpt::agent {
namespace {

using checkpoint::SelfCall;

constexpr uid_t kUser = 1000;

class FakeSelfWork : public SelfWork {
 public:
  Caller CallerOf(const SelfCall& call) override {
    Caller caller;
    caller.uid = call.uid;
    caller.gids = {call.gid};
    caller.name = absl::StrCat("uid ", call.uid);
    return caller;
  }
  bool IsRootOfNode(const SelfCall& call) override {
    return call.uid == 0 && !in_container;
  }
  absl::StatusOr<std::vector<std::string>> GroupsOf(
      const SelfCall& /*call*/) override {
    return groups;
  }
  absl::Status MakeUserStore(const std::string& store, uid_t uid) override {
    made.push_back(absl::StrCat(store, " ", uid));
    return absl::OkStatus();
  }

  bool in_container = false;
  std::vector<std::string> groups = {"/jobs/a"};
  std::vector<std::string> made;
};

class SelfDeskTest : public testing::Test {
 protected:
  static SelfCall Call(uid_t uid, std::vector<std::string> arguments = {}) {
    SelfCall call;
    call.uid = uid;
    call.image = "solver";
    call.arguments = std::move(arguments);
    return call;
  }

  absl::StatusOr<checkpoint::SelfTerms> Admit(
      const SelfCall& call, Policy policy = Policy::WithoutFile()) {
    const Gate gate(std::move(policy),
                    [this](const std::string& line) { audit_ += line; });
    return SelfDesk(gate, work_, "/store").Admit(call);
  }

  static Policy Parsed(const std::string& text) {
    auto policy = Policy::Parse(text, UserNames::Real());
    EXPECT_TRUE(policy.ok()) << policy.status();
    return *std::move(policy);
  }

  FakeSelfWork work_;
  std::string audit_;
};

TEST_F(SelfDeskTest, RootOfTheNodeMayChooseItsStoreAndOptions) {
  SelfCall call = Call(0, {"--criu", "/opt/criu"});
  EXPECT_EQ(Admit(call)->store, "/store");
  call.store = "/elsewhere";
  const auto terms = Admit(call);
  ASSERT_TRUE(terms.ok()) << terms.status();
  EXPECT_EQ(terms->store, "/elsewhere");
  EXPECT_FALSE(terms->owner.has_value());
  EXPECT_FALSE(terms->has_share);
}

TEST_F(SelfDeskTest, UserHasAStoreOfItsOwnAndOnlyItsTasks) {
  const auto terms = Admit(Call(kUser));
  ASSERT_TRUE(terms.ok()) << terms.status();
  EXPECT_EQ(terms->store, "/store/.users/1000");
  EXPECT_EQ(terms->owner, kUser);
  EXPECT_EQ(work_.made.back(), "/store 1000");
  EXPECT_FALSE(terms->within);
}

TEST_F(SelfDeskTest, RootOfAContainerHasAStoreOfItsOwn) {
  work_.in_container = true;
  const auto terms = Admit(Call(0));
  ASSERT_TRUE(terms.ok()) << terms.status();
  EXPECT_EQ(terms->store, "/store/.users/0");
  EXPECT_TRUE(terms->within);
  EXPECT_TRUE(terms->has_share);
  EXPECT_EQ(Admit(Call(0, {"--criu", "/x"})).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(SelfDeskTest, UserMayNotNameFilesOfTheNode) {
  SelfCall call = Call(kUser);
  call.store = "/etc";
  EXPECT_TRUE(absl::IsInvalidArgument(Admit(call).status()));
  call.store = "/store/.users/1000";
  EXPECT_TRUE(Admit(call).ok());
  for (const char* const image : {"/etc/x", "./x", "../1001/solver"}) {
    call.image = image;
    EXPECT_TRUE(absl::IsInvalidArgument(Admit(call).status())) << image;
  }
}

TEST_F(SelfDeskTest, UserMayGiveOnlyHarmlessOptions) {
  EXPECT_TRUE(
      Admit(Call(kUser, {"--tcp-established", "--freezer", "v1"})).ok());
  const std::vector<std::vector<std::string>> bad = {{"--criu", "/x"},
                                                     {"--criu=/x"},
                                                     {"--external", "mnt[/]:x"},
                                                     {"--owner", "0"},
                                                     {"--store", "/x"},
                                                     {"--criu-config", "/x"},
                                                     {"--link-remap"},
                                                     {"--freezer"},
                                                     {"--freezer", "--owner"},
                                                     {"--pid", "1"},
                                                     {"x"},
                                                     {""}};
  for (const auto& words : bad) {
    const auto terms = Admit(Call(kUser, words));
    EXPECT_TRUE(absl::IsInvalidArgument(terms.status())) << words[0];
    EXPECT_TRUE(
        absl::StrContains(terms.status().message(), "nothing was touched"));
  }
}

TEST_F(SelfDeskTest, PolicyOfAFileIsAllThatCounts) {
  const Policy policy =
      Parsed("rule { local_user: '1000' verb: SELF_DUMP cgroup: '/jobs' }");
  EXPECT_TRUE(Admit(Call(kUser), policy).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(Admit(Call(1001), policy).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(Admit(Call(0), policy).status()));
  work_.groups = {"/jobs/a", "/other"};
  EXPECT_TRUE(absl::IsPermissionDenied(Admit(Call(kUser), policy).status()));
}

TEST_F(SelfDeskTest, EachDecisionIsWrittenDown) {
  ASSERT_TRUE(Admit(Call(kUser)).ok());
  EXPECT_TRUE(absl::StrContains(audit_, "\"verb\":\"SELF_DUMP\"")) << audit_;
  EXPECT_TRUE(absl::StrContains(audit_, "\"cgroups\":[\"/jobs/a\"]"));
  EXPECT_TRUE(absl::StrContains(audit_, "\"subject\":\"solver\""));
  EXPECT_TRUE(absl::StrContains(audit_, "\"allowed\":true"));
  audit_.clear();
  EXPECT_FALSE(Admit(Call(kUser), Parsed("")).ok());
  EXPECT_TRUE(absl::StrContains(audit_, "\"allowed\":false")) << audit_;
}

}  // namespace
}  // namespace ckpt::agent
