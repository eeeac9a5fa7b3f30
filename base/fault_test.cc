#include "base/fault.h"

#include "gtest/gtest.h"

namespace ckpt {
namespace {

TEST(FaultTest, FindsTheActionOfAPoint) {
  EXPECT_EQ(FaultActionFor("a.b=kill,c.d=error", "a.b"), "kill");
  EXPECT_EQ(FaultActionFor("a.b=kill,c.d=error", "c.d"), "error");
  EXPECT_EQ(FaultActionFor("a.b=kill,c.d=error", "a"), "");
  EXPECT_EQ(FaultActionFor("", "a"), "");
}

TEST(FaultTest, IsOkWhenNothingIsAsked) {
  EXPECT_TRUE(FaultPoint("no.such.point").ok());
}

}  // namespace
}  // namespace ckpt
