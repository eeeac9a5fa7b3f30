#include "checkpoint/kept_connections.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "criu/network_lock.h"
#include "store/criu_images.h"

namespace ckpt::checkpoint {
namespace {

constexpr int kRepairOff = 0;          // of TCP_REPAIR
constexpr uint8_t kTcpListen = 10;     // TCP_LISTEN
constexpr timeval kPatience = {5, 0};  // with the kernel

int Option(int fd, int level, int name) {
  int value = 0;
  socklen_t size = sizeof(value);
  return ::getsockopt(fd, level, name, &value, &size) == 0 ? value : -1;
}

// An address of IPv4 that is dressed up as one of IPv6 is shown as it is.
void Show(const sockaddr_storage& end, std::string* address, uint32_t* port) {
  char text[INET6_ADDRSTRLEN] = "";
  *port = 0;
  if (end.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(end);
    ::inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
    *port = ntohs(in.sin_port);
  } else if (end.ss_family == AF_INET6) {
    const auto& in = reinterpret_cast<const sockaddr_in6&>(end);
    const bool mapped = IN6_IS_ADDR_V4MAPPED(&in.sin6_addr);
    ::inet_ntop(mapped ? AF_INET : AF_INET6,
                in.sin6_addr.s6_addr + (mapped ? 12 : 0), text, sizeof(text));
    *port = ntohs(in.sin6_port);
  }
  *address = text;
}

v1::KeptConnection ConnectionOf(int fd) {
  sockaddr_storage local = {}, remote = {};
  socklen_t local_size = sizeof(local), remote_size = sizeof(remote);
  (void)::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &local_size);
  (void)::getpeername(fd, reinterpret_cast<sockaddr*>(&remote), &remote_size);
  v1::KeptConnection connection;
  uint32_t port = 0;
  Show(local, connection.mutable_local_address(), &port);
  connection.set_local_port(port);
  Show(remote, connection.mutable_remote_address(), &port);
  connection.set_remote_port(port);
  return connection;
}

struct Address {
  int family = AF_UNSPEC;  // unspecified: it is none
  uint32_t words[4] = {};  // as the network has it
};

Address Parse(const std::string& text) {
  Address address;
  for (const int family : {AF_INET, AF_INET6}) {
    if (::inet_pton(family, text.c_str(), address.words) == 1) {
      address.family = family;
      return address;
    }
  }
  return address;
}

bool IsLoopback(const Address& address) {
  if (address.family == AF_INET) return ntohl(address.words[0]) >> 24 == 127;
  return std::memcmp(address.words, &in6addr_loopback,
                     sizeof(in6addr_loopback)) == 0;
}

struct Answer {
  alignas(nlmsghdr) char bytes[4096];
};

// What netlink answers, in `answer`; null: nothing.
const nlmsghdr* Ask(int protocol, const nlmsghdr& question, Answer& answer) {
  const UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd.ok()) return nullptr;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  if (::send(fd.get(), &question, question.nlmsg_len, 0) < 0) return nullptr;
  const ssize_t size = ::recv(fd.get(), answer.bytes, sizeof(answer.bytes), 0);
  const auto* const header = reinterpret_cast<const nlmsghdr*>(answer.bytes);
  return size > 0 && NLMSG_OK(header, static_cast<size_t>(size)) ? header
                                                                 : nullptr;
}

// False only if the kernel says that packets to the address are not for this
// node.  (Where ip_nonlocal_bind is on, bind() would not tell.)
bool MayBeHere(const Address& address) {
  const bool four = address.family == AF_INET;
  const size_t bytes = four ? sizeof(in_addr) : sizeof(in6_addr);
  struct {
    nlmsghdr header;
    rtmsg about;
    rtattr to;
    uint32_t words[4];
  } question = {};
  question.header.nlmsg_len =
      static_cast<uint32_t>(offsetof(decltype(question), words) + bytes);
  question.header.nlmsg_type = RTM_GETROUTE;
  question.header.nlmsg_flags = NLM_F_REQUEST;
  question.about.rtm_family = static_cast<uint8_t>(address.family);
  question.about.rtm_dst_len = static_cast<uint8_t>(8 * bytes);
  question.to.rta_type = RTA_DST;
  question.to.rta_len = static_cast<uint16_t>(RTA_LENGTH(bytes));
  std::memcpy(question.words, address.words, bytes);
  Answer answer;
  const nlmsghdr* const header = Ask(NETLINK_ROUTE, question.header, answer);
  if (header == nullptr) return true;
  if (header->nlmsg_type == NLMSG_ERROR) {
    const int error = -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
    return error != ENETUNREACH && error != EHOSTUNREACH;
  }
  return header->nlmsg_type != RTM_NEWROUTE ||
         static_cast<const rtmsg*>(NLMSG_DATA(header))->rtm_type != RTN_UNICAST;
}

// Whether a socket here is that end of the connection.
bool HasSocket(const v1::KeptConnection& connection, const Address& local) {
  const Address remote = Parse(connection.remote_address());
  if (remote.family != local.family) return false;
  struct {
    nlmsghdr header;
    inet_diag_req_v2 about;
  } question = {};
  question.header.nlmsg_len = sizeof(question);
  question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  question.header.nlmsg_flags = NLM_F_REQUEST;
  question.about.sdiag_family = static_cast<uint8_t>(local.family);
  question.about.sdiag_protocol = IPPROTO_TCP;
  question.about.idiag_states = ~0U;
  inet_diag_sockid& id = question.about.id;
  id.idiag_sport = htons(static_cast<uint16_t>(connection.local_port()));
  id.idiag_dport = htons(static_cast<uint16_t>(connection.remote_port()));
  std::memcpy(id.idiag_src, local.words, sizeof(id.idiag_src));
  std::memcpy(id.idiag_dst, remote.words, sizeof(id.idiag_dst));
  id.idiag_cookie[0] = id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  Answer answer;
  const nlmsghdr* const header =
      Ask(NETLINK_SOCK_DIAG, question.header, answer);
  // Where there is none, the kernel answers with who listens.
  return header != nullptr && header->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
         header->nlmsg_len >= NLMSG_LENGTH(sizeof(inet_diag_msg)) &&
         static_cast<const inet_diag_msg*>(NLMSG_DATA(header))->idiag_state !=
             kTcpListen;
}

}  // namespace

absl::StatusOr<std::unique_ptr<KeptConnections>> KeptConnections::Open(
    const std::vector<pid_t>& pids, int image_dir_fd) {
  auto kept = absl::WrapUnique(new KeptConnections);
  // Several descriptors, of several processes, may be of one socket.
  std::set<std::string> seen;
  for (const pid_t pid : pids) {
    CKPT_RETURN_IF_ERROR(kept->TakeSocketsOf(pid, seen));
  }
  if (!kept->sockets_.empty() && image_dir_fd >= 0) {
    CKPT_RETURN_IF_ERROR(kept->FindLock(image_dir_fd));
  }
  return kept;
}

absl::Status KeptConnections::TakeSocketsOf(pid_t pid,
                                            std::set<std::string>& seen) {
  const std::string directory = absl::StrCat("/proc/", pid, "/fd");
  const auto names = ListDirectory(directory);
  if (!names.ok()) return absl::OkStatus();  // a zombie
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process.ok()) return ErrnoToStatus(errno, "pidfd_open");
  for (const std::string& name : *names) {
    const auto link = ReadLink(absl::StrCat(directory, "/", name));
    int number = 0;
    if (!link.ok() || !absl::StartsWith(*link, "socket:") ||
        !absl::SimpleAtoi(name, &number) || !seen.insert(*link).second) {
      continue;
    }
    UniqueFd socket(
        static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), number, 0)));
    if (!socket.ok()) return ErrnoToStatus(errno, "pidfd_getfd", *link);
    if (Option(socket.get(), SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP ||
        Option(socket.get(), IPPROTO_TCP, TCP_REPAIR) <= 0) {
      continue;
    }
    *lock_.add_connections() = ConnectionOf(socket.get());
    sockets_.push_back(std::move(socket));
  }
  return absl::OkStatus();
}

absl::Status KeptConnections::FindLock(int image_dir_fd) {
  CKPT_ASSIGN_OR_RETURN(const std::string run_id, ReadRunId(image_dir_fd));
  if (run_id.empty()) return absl::OkStatus();
  CKPT_ASSIGN_OR_RETURN(const std::string table, criu::FindNetworkLock(run_id));
  if (table.empty()) return absl::OkStatus();  // by iptables, or not at all
  lock_.set_table(table);
  CKPT_ASSIGN_OR_RETURN(netfilter_, criu::OpenNetfilter());
  return absl::OkStatus();
}

absl::Status KeptConnections::GoOn() const {
  absl::Status status;
  if (!lock_.table().empty()) status = criu::RemoveNetworkLock(lock_.table());
  for (const UniqueFd& socket : sockets_) {
    if (::setsockopt(socket.get(), IPPROTO_TCP, TCP_REPAIR, &kRepairOff,
                     sizeof kRepairOff) != 0) {
      status = AppendError(std::move(status), "connection",
                           ErrnoToStatus(errno, "end TCP_REPAIR"));
    }
  }
  return status;
}

void KeptConnections::AddGoOn(PreparedSteps& steps) const {
  if (netfilter_.ok()) {
    steps.AddWrite(netfilter_.get(), criu::RemovalMessage(lock_.table()));
  }
  for (const UniqueFd& socket : sockets_) {
    steps.AddSocketOption(socket.get(), IPPROTO_TCP, TCP_REPAIR, kRepairOff);
  }
}

bool MayUnlock(const v1::NetworkLock& lock, bool back) {
  const auto& connections = lock.connections();
  if (back && std::any_of(connections.begin(), connections.end(),
                          [](const v1::KeptConnection& connection) {
                            return HasSocket(connection,
                                             Parse(connection.local_address()));
                          })) {
    return true;
  }
  return std::all_of(connections.begin(), connections.end(),
                     [](const v1::KeptConnection& connection) {
                       const Address local = Parse(connection.local_address());
                       if (local.family == AF_UNSPEC) return false;
                       return IsLoopback(local) || !MayBeHere(local);
                     });
}

}  // namespace ckpt::checkpoint
