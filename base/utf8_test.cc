#include "base/utf8.h"

#include <string>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace ckpt {
namespace {

TEST(Utf8Test, TextIsLeftAlone) {
  for (const std::string text :
       {"", "plain", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
        "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(text));
    EXPECT_EQ(ToUtf8(text), text);
  }
  EXPECT_TRUE(IsUtf8(absl::string_view("a\0b", 3)));
}

TEST(Utf8Test, OtherBytesAreReplacedOneByOne) {
  EXPECT_EQ(ToUtf8("ab\xff"
                   "cd"),
            "ab?cd");
  EXPECT_EQ(ToUtf8("\xe4"), "?");                  // Latin-1
  EXPECT_EQ(ToUtf8("\xe2\x82"), "??");             // cut off
  EXPECT_EQ(ToUtf8("\xc0\xaf"), "??");             // too long a form
  EXPECT_EQ(ToUtf8("\xed\xa0\x80"), "???");        // a surrogate
  EXPECT_EQ(ToUtf8("\xf4\x90\x80\x80"), "????");   // above U+10FFFF
  EXPECT_EQ(ToUtf8("\xff\xc3\xa4"), "?\xc3\xa4");  // and goes on after it
  EXPECT_FALSE(IsUtf8("\xff"));
}

}  // namespace
}  // namespace ckpt
