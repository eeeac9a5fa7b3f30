#include "agent/options.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace ckpt::agent {
namespace {

absl::StatusOr<Options> Parse(const std::vector<std::string>& words) {
  return ParseOptions(words, UserNames::Real());
}

TEST(OptionsTest, NothingIsTheDefault) {
  const auto options = Parse({});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->workers, 4);
  EXPECT_FALSE(options->group.has_value());
}

TEST(OptionsTest, ValueMayFollowOrBeJoined) {
  const auto options = Parse({"--socket", "/s", "--policy=/p", "--workers=2",
                              "--group", "0", "--stop-timeout", "1500ms"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->socket, "/s");
  EXPECT_EQ(options->policy_file, "/p");
  EXPECT_EQ(options->workers, 2);
  EXPECT_EQ(*options->group, 0);
  EXPECT_EQ(options->stop_timeout, absl::Milliseconds(1500));
}

TEST(OptionsTest, OtherMachinesAreListenedToOnlyWhenAskedFor) {
  EXPECT_EQ(Parse({})->listen, "");
  EXPECT_EQ(Parse({})->tls.key, "/etc/ckpt/tls/key.pem");
  EXPECT_EQ(Parse({})->metrics, "");
  const auto options = Parse({"--listen", "[::]:7070", "--tls-ca=/a",
                              "--tls-cert=/b", "--tls-key=/c"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->listen, "[::]:7070");
  EXPECT_EQ(options->tls.ca, "/a");
  EXPECT_EQ(options->tls.cert, "/b");
  EXPECT_EQ(options->tls.key, "/c");
}

TEST(OptionsTest, OnlyTheAgentOfTheMachineHasTheSocketThatProgramsLookFor) {
  EXPECT_EQ(*Parse({})->self_socket, "/run/ckpt/self.sock");
  EXPECT_EQ(*Parse({"--socket", "/s"})->self_socket, "");
  EXPECT_EQ(*Parse({"--socket", "/s", "--self-socket", "/t"})->self_socket,
            "/t");
  EXPECT_EQ(*Parse({"--self-socket="})->self_socket, "");
}

TEST(OptionsTest, GroupMayBeAName) {
  const auto options = Parse({"--group", "root"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(*options->group, 0);
}

TEST(OptionsTest, MistakesAreRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(Parse({"x"}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Parse({"--frob=1"}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Parse({"--socket"}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Parse({"--workers", "0"}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Parse({"--workers", "65"}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Parse({"--stop-timeout=x"}).status()));
  EXPECT_TRUE(absl::IsNotFound(Parse({"--group", "no-such-group-x"}).status()));
}

}  // namespace
}  // namespace ckpt::agent
