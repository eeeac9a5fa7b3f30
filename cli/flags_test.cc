#include "cli/flags.h"

#include "gtest/gtest.h"

namespace ckpt::cli {
namespace {

const std::vector<Flag>& Flags() {
  static const auto& flags = *new std::vector<Flag>{{"cgroup", "X", ""},
                                                    {"external", "V", ""},
                                                    {"timeout", "D", ""},
                                                    {"ghost-limit", "N", ""},
                                                    {"json", "", ""}};
  return flags;
}

TEST(ArgumentsTest, TakesValuesSwitchesAndPositionalsInAnyOrder) {
  const auto parsed = Arguments::Parse(
      Flags(), {"image1", "--json", "--cgroup", "a", "--cgroup=b"});
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE(parsed->Has("json"));
  EXPECT_EQ(parsed->Get("cgroup"), "b");
  EXPECT_EQ(parsed->GetAll("cgroup"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(*parsed->OnlyPositional("IMAGE"), "image1");
}

TEST(ArgumentsTest, NamesTheUnknownOption) {
  const auto parsed = Arguments::Parse(Flags(), {"--nonsense"});
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(parsed.status().message(),
            "unknown or ambiguous option '--nonsense'");
}

TEST(ArgumentsTest, NamesTheOptionWithoutValue) {
  EXPECT_EQ(Arguments::Parse(Flags(), {"--cgroup"}).status().message(),
            "option '--cgroup' needs a value");
}

TEST(ArgumentsTest, ReadsDurationsAndSizes) {
  const auto parsed =
      Arguments::Parse(Flags(), {"--timeout", "500ms", "--ghost-limit", "16M"});
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(*parsed->Seconds("timeout", 1), 0.5);
  EXPECT_EQ(*parsed->Bytes("ghost-limit"), 16u << 20);

  const auto large =
      Arguments::Parse(Flags(), {"--timeout", "7d", "--ghost-limit", "2T"});
  ASSERT_TRUE(large.ok());
  EXPECT_EQ(*large->Seconds("timeout", 1), 7 * 24 * 3600);
  EXPECT_EQ(*large->Bytes("ghost-limit"), uint64_t{2} << 40);
}

TEST(ArgumentsTest, RefusesSenselessDurations) {
  for (const char* text : {"0", "-1", "soon", "1e30", "d", "0d", "1e9d"}) {
    const auto parsed = Arguments::Parse(Flags(), {"--timeout", text});
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(parsed->Seconds("timeout", 1).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(ArgumentsTest, RefusesASecondPositional) {
  const auto parsed = Arguments::Parse(Flags(), {"a", "b"});
  EXPECT_EQ(parsed->OnlyPositional("IMAGE").status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ckpt::cli
