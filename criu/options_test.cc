#include "criu/options.h"

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace ckpt::criu {
namespace {

criu_network_lock_method LockOf(const v1::CriuOptions& options) {
  DumpArguments arguments;
  arguments.options = options;
  const auto request = DumpMessage(arguments);
  EXPECT_TRUE(request.ok()) << request.status();
  return request->opts().network_lock();
}

TEST(OptionsTest, DoesNotLockTheNetworkWithoutConnectionsToKeep) {
  EXPECT_EQ(LockOf({}), SKIP);
}

TEST(OptionsTest, LocksKeptConnectionsWithNftables) {
  v1::CriuOptions options;
  options.set_tcp_established(true);
  EXPECT_EQ(LockOf(options), NFTABLES);
}

TEST(OptionsTest, UsesTheNetworkLockThatIsNamed) {
  v1::CriuOptions options;
  options.set_network_lock("iptables");
  EXPECT_EQ(LockOf(options), IPTABLES);
  options.set_network_lock("skip");
  options.set_tcp_established(true);
  EXPECT_EQ(LockOf(options), SKIP);
}

TEST(OptionsTest, RefusesANetworkLockThatCriuDoesNotKnow) {
  DumpArguments arguments;
  arguments.options.set_network_lock("firewalld");
  EXPECT_EQ(DumpMessage(arguments).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(OptionsTest, KeepsPipesThatLeadOutToItself) {
  DumpArguments arguments;
  arguments.options.add_external("pipe:[7]");
  arguments.options.add_external("unix[8]");
  const auto request = DumpMessage(arguments);
  ASSERT_TRUE(request.ok()) << request.status();
  ASSERT_EQ(request->opts().external_size(), 1);
  EXPECT_EQ(request->opts().external(0), "unix[8]");
}

}  // namespace
}  // namespace ckpt::criu
