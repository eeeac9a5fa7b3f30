#include "rpc/host_port.h"

#include <string>

#include "gtest/gtest.h"

namespace ckpt::rpc {
namespace {

TEST(HostPortTest, NamesAndAddressesComeBackAsWritten) {
  for (const std::string text :
       {"node2:7070", "10.0.0.2:1", "[fd00::2]:65535", "a-b_c.example:0"}) {
    const auto parsed = ParseHostPort(text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->Text(), text);
  }
  EXPECT_EQ(ParseHostPort("[fd00::2]:7070")->host, "fd00::2");
  EXPECT_EQ(ParseHostPort("node2:7070")->port, 7070);
}

TEST(HostPortTest, OtherTextsAreRefused) {
  for (const std::string text :
       {"", "node2", "node2:", ":7070", "node2:x", "node2:-1", "node2:+1",
        "node2:65536", "fd00::2:7070", "[fd00::2:7070", "[]:7070",
        "dns:///node2:7070", "node 2:7070", "node2:7070/"}) {
    EXPECT_EQ(ParseHostPort(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

}  // namespace
}  // namespace ckpt::rpc
