#include "tests/support/test_network.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace ckpt {
namespace {

constexpr timeval kPatience = {10, 0};

template <typename T>
absl::string_view BytesOf(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

std::string Padded(absl::string_view bytes) {
  std::string padded(bytes);
  padded.resize(NLMSG_ALIGN(bytes.size()), '\0');
  return padded;
}

std::string Attribute(uint16_t type, absl::string_view value) {
  const nlattr head = {static_cast<uint16_t>(NLA_HDRLEN + value.size()), type};
  return Padded(absl::StrCat(BytesOf(head), value));
}

std::string Text(uint16_t type, const std::string& value) {
  return Attribute(type, {value.c_str(), value.size() + 1});
}

std::string Number(uint16_t type, uint32_t value) {
  return Attribute(type, BytesOf(htonl(value)));
}

std::string Message(int type, uint16_t flags, uint8_t family, uint16_t resource,
                    const std::string& attributes) {
  nlmsghdr head = {};
  head.nlmsg_len =
      static_cast<uint32_t>(NLMSG_LENGTH(sizeof(nfgenmsg)) + attributes.size());
  head.nlmsg_type = static_cast<uint16_t>(type);
  head.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  const nfgenmsg about = {family, NFNETLINK_V0, htons(resource)};
  return absl::StrCat(BytesOf(head), BytesOf(about), attributes);
}

// Something new, in a batch of its own.
absl::Status Make(int what, uint8_t family, const std::string& attributes) {
  const std::string batch = absl::StrCat(
      Message(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, ""),
      Message(NFNL_SUBSYS_NFTABLES << 8 | what,
              NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, family, 0, attributes),
      Message(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, ""));
  const UniqueFd fd(
      ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  alignas(nlmsghdr) char answer[4096];
  if (::send(fd.get(), batch.data(), batch.size(), 0) < 0 ||
      ::recv(fd.get(), answer, sizeof(answer), 0) <
          static_cast<ssize_t>(NLMSG_LENGTH(sizeof(nlmsgerr)))) {
    return ErrnoToStatus(errno, "ask nftables");
  }
  const auto* const head = reinterpret_cast<const nlmsghdr*>(answer);
  const int error = -static_cast<const nlmsgerr*>(NLMSG_DATA(head))->error;
  return error == 0 ? absl::OkStatus() : ErrnoToStatus(error, "nftables");
}

}  // namespace

absl::Status EnterNewNetwork() {
  if (::unshare(CLONE_NEWNET) != 0) return ErrnoToStatus(errno, "unshare");
  const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq loopback = {};
  std::strcpy(loopback.ifr_name, "lo");  // NOLINT: it has room
  loopback.ifr_flags = IFF_UP;
  if (::ioctl(fd.get(), SIOCSIFFLAGS, &loopback) != 0) {
    return ErrnoToStatus(errno, "bring up", "lo");
  }
  return absl::OkStatus();
}

absl::Status MakeNftTable(const std::string& name) {
  return Make(NFT_MSG_NEWTABLE, NFPROTO_INET, Text(NFTA_TABLE_NAME, name));
}

absl::Status MakeNftTableOfIpv4(const std::string& name) {
  return Make(NFT_MSG_NEWTABLE, NFPROTO_IPV4, Text(NFTA_TABLE_NAME, name));
}

absl::Status DropAllPackets(const std::string& table) {
  const std::string hook =
      absl::StrCat(Number(NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_IN),
                   Number(NFTA_HOOK_PRIORITY, 0));
  return Make(
      NFT_MSG_NEWCHAIN, NFPROTO_INET,
      absl::StrCat(Text(NFTA_CHAIN_TABLE, table), Text(NFTA_CHAIN_NAME, "drop"),
                   Attribute(NFTA_CHAIN_HOOK | NLA_F_NESTED, hook),
                   Number(NFTA_CHAIN_POLICY, NF_DROP),
                   Text(NFTA_CHAIN_TYPE, "filter")));
}

}  // namespace ckpt
