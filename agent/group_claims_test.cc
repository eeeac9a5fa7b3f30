#include "agent/group_claims.h"

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace ckpt::agent {
namespace {

TEST(GroupClaimsTest, GroupIsClaimedOnce) {
  GroupClaims claims;
  const auto first = claims.Take({"/cg/a"}, "a dump");
  ASSERT_TRUE(first.ok());
  const auto second = claims.Take({"/cg/a"}, "a freeze");
  EXPECT_TRUE(absl::IsUnavailable(second.status()));
  EXPECT_TRUE(absl::StrContains(second.status().message(), "a dump"));
}

TEST(GroupClaimsTest, GroupsAboveAndBelowAreTheSame) {
  GroupClaims claims;
  const auto first = claims.Take({"/cg/a/b"}, "a dump");
  EXPECT_TRUE(absl::IsUnavailable(claims.Take({"/cg/a"}, "x").status()));
  EXPECT_TRUE(absl::IsUnavailable(claims.Take({"/cg/a/b/c"}, "x").status()));
}

TEST(GroupClaimsTest, OtherGroupsAreFree) {
  GroupClaims claims;
  const auto first = claims.Take({"/cg/a"}, "a dump");
  EXPECT_TRUE(claims.Take({"/cg/b"}, "x").ok());
  EXPECT_TRUE(claims.Take({"/cg/ab"}, "x").ok());
}

TEST(GroupClaimsTest, SeveralAreClaimedTogetherOrNotAtAll) {
  GroupClaims claims;
  const auto first = claims.Take({"/cg/b"}, "a dump");
  EXPECT_FALSE(claims.Take({"/cg/a", "/cg/b"}, "x").ok());
  EXPECT_TRUE(claims.Take({"/cg/a"}, "x").ok());
}

TEST(GroupClaimsTest, ClaimEndsWithItsLastCopy) {
  GroupClaims claims;
  auto first = claims.Take({"/cg/a"}, "a dump");
  GroupClaims::Claim copy = *first;
  first->reset();
  EXPECT_FALSE(claims.Take({"/cg/a"}, "x").ok());
  copy.reset();
  EXPECT_TRUE(claims.Take({"/cg/a"}, "x").ok());
}

}  // namespace
}  // namespace ckpt::agent
