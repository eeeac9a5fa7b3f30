// A network namespace of a test's own, and tables of nftables in it as CRIU
// makes them, without a program for either.
//
//   ASSERT_EQ(EnterNewNetwork(), absl::OkStatus());
//   ASSERT_EQ(MakeNftTable("CRIU-1"), absl::OkStatus());
//   ASSERT_EQ(DropAllPackets("CRIU-1"), absl::OkStatus());
//
// Needs root.
#ifndef CKPT_TESTS_SUPPORT_TEST_NETWORK_H_
#define CKPT_TESTS_SUPPORT_TEST_NETWORK_H_

#include <string>

#include "absl/status/status.h"

namespace ckpt {

// The calling thread, and what it starts from now on, are in a new network
// namespace with nothing but a loopback device, which is up.  The namespace
// ends with them, or with the next call.
absl::Status EnterNewNetwork();

// An empty table, of the family inet or of ip.  The codes of errno: EEXIST is
// AlreadyExists.
absl::Status MakeNftTable(const std::string& name);
absl::Status MakeNftTableOfIpv4(const std::string& name);

// From now on the table, of the family inet, drops all packets that come in,
// of IPv4 and of IPv6.
absl::Status DropAllPackets(const std::string& table);

}  // namespace ckpt

#endif  // CKPT_TESTS_SUPPORT_TEST_NETWORK_H_
