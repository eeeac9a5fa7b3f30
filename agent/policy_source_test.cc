#include "agent/policy_source.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/test_dir.h"

namespace ckpt::agent {
namespace {

constexpr char kOneRule[] = "rule { local_user: '7' verb: KILL cgroup: '/' }";

class PolicySourceTest : public testing::Test {
 protected:
  static void Write(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
    ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  }

  static Caller User(uid_t uid) {
    Caller caller;
    caller.uid = uid;
    return caller;
  }

  const TestDir dir_;
  const std::string file_ = dir_.File("policy");
  const std::string default_file_ = dir_.File("default");
};

TEST_F(PolicySourceTest, FileIsTakenBeforeTheDefaultOne) {
  Write(file_, kOneRule);
  Write(default_file_, "");
  const auto policy = PolicySource(file_, default_file_).Load();
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_TRUE(policy->Allows(User(7), KILL, "/a"));
}

TEST_F(PolicySourceTest, FileThatIsNamedMustBeThere) {
  Write(default_file_, kOneRule);
  const auto policy = PolicySource(file_, default_file_).Load();
  EXPECT_TRUE(absl::IsNotFound(policy.status())) << policy.status();
}

TEST_F(PolicySourceTest, WithoutTheDefaultFileRootMayDoAll) {
  const auto policy = PolicySource("", default_file_).Load();
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_TRUE(policy->Allows(User(0), KILL, "/a"));
}

TEST_F(PolicySourceTest, DefaultFileThatComesLaterIsTaken) {
  PolicySource source("", default_file_);
  ASSERT_TRUE(source.Load().ok());
  Write(default_file_, kOneRule);
  const auto policy = source.Load();
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_FALSE(policy->Allows(User(0), KILL, "/a"));
  EXPECT_TRUE(policy->Allows(User(7), KILL, "/a"));
}

TEST_F(PolicySourceTest, DefaultFileThatGoesAwayIsNotFound) {
  Write(default_file_, kOneRule);
  PolicySource source("", default_file_);
  ASSERT_TRUE(source.Load().ok());
  ASSERT_EQ(::unlink(default_file_.c_str()), 0);
  EXPECT_TRUE(absl::IsNotFound(source.Load().status()));
}

TEST_F(PolicySourceTest, MistakeInTheDefaultFileIsNotTakenForNoFile) {
  Write(default_file_, "rule");
  EXPECT_TRUE(
      absl::IsInvalidArgument(PolicySource("", default_file_).Load().status()));
}

}  // namespace
}  // namespace ckpt::agent
