#include "criu/network_lock.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ckpt::criu {
namespace {

// How long the kernel may take to answer.
constexpr timeval kPatience = {5, 0};

// CRIU (4.2) has 31 bytes for "inet NAME", which cuts the names that it makes.
constexpr size_t kCriusRoom = 26;

void Append(std::string& message, const void* data, size_t size) {
  message.append(static_cast<const char*>(data), size);
  message.append(NLMSG_ALIGN(size) - size, '\0');
}

// One message of nfnetlink, with the attribute that names a table, or none.
std::string Message(uint16_t type, uint16_t flags, uint8_t family,
                    uint16_t resource, const std::string& table) {
  const size_t attribute =
      table.empty() ? 0 : NLA_HDRLEN + NLMSG_ALIGN(table.size() + 1);
  nlmsghdr header = {};
  header.nlmsg_len =
      static_cast<uint32_t>(NLMSG_LENGTH(sizeof(nfgenmsg)) + attribute);
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  nfgenmsg general = {};
  general.nfgen_family = family;
  general.version = NFNETLINK_V0;
  general.res_id = htons(resource);
  std::string message;
  Append(message, &header, sizeof(header));
  Append(message, &general, sizeof(general));
  if (table.empty()) return message;
  nlattr name = {};
  name.nla_len = static_cast<uint16_t>(NLA_HDRLEN + table.size() + 1);
  name.nla_type = NFTA_TABLE_NAME;
  Append(message, &name, sizeof(name));
  Append(message, table.c_str(), table.size() + 1);
  return message;
}

uint16_t TableType(int what) {
  return static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | what);
}

// The kernel takes a removal without a name for one of all tables.
absl::Status CheckName(const std::string& table) {
  if (!table.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "a network lock is a table with a name; nothing was done");
}

// A change of tables is a batch of its own.
std::string Removal(const std::string& table, uint16_t flags) {
  return absl::StrCat(
      Message(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, ""),
      Message(TableType(NFT_MSG_DELTABLE), flags, NFPROTO_INET, 0, table),
      Message(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, ""));
}

// Sends, and returns the errno of the answer: 0 for an acknowledgement, or for
// what was asked for.
absl::StatusOr<int> Ask(const std::string& message) {
  CKPT_ASSIGN_OR_RETURN(const UniqueFd fd, OpenNetfilter());
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  if (::send(fd.get(), message.data(), message.size(), 0) < 0) {
    return ErrnoToStatus(errno, "send to nftables");
  }
  alignas(nlmsghdr) char answer[8192];
  const ssize_t size = ::recv(fd.get(), answer, sizeof answer, 0);
  if (size < 0) return ErrnoToStatus(errno, "ask nftables");
  const auto* const header = reinterpret_cast<const nlmsghdr*>(answer);
  if (!NLMSG_OK(header, static_cast<size_t>(size))) {
    return absl::InternalError("nftables answers with half a message");
  }
  if (header->nlmsg_type != NLMSG_ERROR) return 0;
  return -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
}

}  // namespace

absl::StatusOr<std::string> FindNetworkLock(const std::string& run_id) {
  const std::string whole = absl::StrCat("CRIU-", run_id);
  for (const std::string& table : {whole, whole.substr(0, kCriusRoom)}) {
    CKPT_ASSIGN_OR_RETURN(const bool exists, NetworkLockExists(table));
    if (exists) return table;
  }
  return std::string();
}

absl::StatusOr<UniqueFd> OpenNetfilter() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!fd.ok()) return ErrnoToStatus(errno, "socket for nftables");
  return fd;
}

absl::StatusOr<bool> NetworkLockExists(const std::string& table) {
  CKPT_RETURN_IF_ERROR(CheckName(table));
  CKPT_ASSIGN_OR_RETURN(
      const int error,
      Ask(Message(TableType(NFT_MSG_GETTABLE), 0, NFPROTO_INET, 0, table)));
  if (error == 0) return true;
  // EINVAL: this kernel has no nftables (net/netfilter/nfnetlink.c).
  if (error == ENOENT || error == EINVAL) return false;
  return ErrnoToStatus(error, "look for the table of nftables", table);
}

absl::Status RemoveNetworkLock(const std::string& table) {
  CKPT_RETURN_IF_ERROR(CheckName(table));
  CKPT_ASSIGN_OR_RETURN(const int error, Ask(Removal(table, NLM_F_ACK)));
  if (error == 0 || error == ENOENT) return absl::OkStatus();
  return ErrnoToStatus(error, "remove the table of nftables", table);
}

std::string RemovalMessage(const std::string& table) {
  return table.empty() ? "" : Removal(table, 0);
}

}  // namespace ckpt::criu
