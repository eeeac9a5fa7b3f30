#include "checkpoint/socket_facts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <linux/unix_diag.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "base/utf8.h"

namespace ckpt::checkpoint {
namespace {

constexpr int kTcpClose = 7;    // TCP_CLOSE of the kernel's tcp_states.h
constexpr int kTcpListen = 10;  // TCP_LISTEN

int Option(int fd, int level, int name) {
  int value = 0;
  socklen_t size = sizeof(value);
  return ::getsockopt(fd, level, name, &value, &size) == 0 ? value : -1;
}

struct Address {
  sockaddr_storage storage = {};
  socklen_t size = 0;
};

template <typename Getter>
Address Get(Getter getter, int fd) {
  Address address;
  address.size = sizeof(address.storage);
  if (getter(fd, reinterpret_cast<sockaddr*>(&address.storage),
             &address.size) != 0) {
    address.size = 0;
  }
  return address;
}

// "/run/x", "@abstract", "".
std::string UnixName(const Address& address) {
  constexpr size_t kPath = offsetof(sockaddr_un, sun_path);
  if (address.size <= kPath) return "";
  const auto* name = reinterpret_cast<const sockaddr_un*>(&address.storage);
  const size_t length = address.size - kPath;
  if (name->sun_path[0] == '\0') {
    return ToUtf8(
        absl::StrCat("@", std::string(name->sun_path + 1, length - 1)));
  }
  return ToUtf8(std::string(name->sun_path, ::strnlen(name->sun_path, length)));
}

void FillInet(int fd, SocketFacts& facts) {
  const Address local = Get(&::getsockname, fd);
  char text[INET6_ADDRSTRLEN] = "";
  if (local.storage.ss_family == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(&local.storage);
    ::inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
    facts.port = ntohs(in->sin_port);
  } else if (local.storage.ss_family == AF_INET6) {
    const auto* in = reinterpret_cast<const sockaddr_in6*>(&local.storage);
    ::inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof(text));
    facts.port = ntohs(in->sin6_port);
  }
  facts.address = text;
  facts.bound = facts.port != 0;
  if (facts.protocol == IPPROTO_UDP || facts.protocol == IPPROTO_UDPLITE) {
    facts.corked = Option(fd, facts.protocol, UDP_CORK) > 0;
  }
  if (facts.protocol != IPPROTO_TCP) return;
  tcp_info info = {};
  socklen_t size = sizeof(info);
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return;
  facts.tcp_state = info.tcpi_state;
  facts.listening = info.tcpi_state == kTcpListen;
  facts.connected = !facts.listening && info.tcpi_state != kTcpClose;
  // One that was refused has sent no more than the request.
  facts.was_connected = info.tcpi_state == kTcpClose && info.tcpi_segs_in > 1;
  if (facts.listening) facts.not_accepted = info.tcpi_unacked;
}

// A socket for questions about those of the network namespace of `owner`.
UniqueFd DiagSocket(pid_t owner) {
  const auto open = [] {
    return UniqueFd(
        ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  };
  const std::string theirs = absl::StrCat("/proc/", owner, "/ns/net");
  const auto name = ReadLink(theirs);
  const auto own = ReadLink("/proc/self/ns/net");
  if (!name.ok() || !own.ok() || *name == *own) return open();
  UniqueFd opened;
  // A namespace is a thread's; this one ends with it.
  std::thread([&] {
    const UniqueFd place(::open(theirs.c_str(), O_RDONLY | O_CLOEXEC));
    if (place.ok() && ::setns(place.get(), CLONE_NEWNET) == 0) {
      opened = open();
    }
  }).join();
  return opened;
}

// The kernel tells of a socket by its inode alone, without a list of all.
void FillUnixPeer(uint64_t inode, pid_t owner, SocketFacts& facts) {
  const UniqueFd diag = DiagSocket(owner);
  if (!diag.ok()) return;
  struct {
    nlmsghdr header;
    unix_diag_req body;
  } request = {};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.body.sdiag_family = AF_UNIX;
  request.body.udiag_states = ~0U;
  request.body.udiag_ino = static_cast<uint32_t>(inode);
  request.body.udiag_show = UDIAG_SHOW_PEER;
  request.body.udiag_cookie[0] = request.body.udiag_cookie[1] = ~0U;
  if (::send(diag.get(), &request, sizeof(request), 0) < 0) return;
  alignas(nlmsghdr) char buffer[4096];
  const ssize_t count = ::recv(diag.get(), buffer, sizeof(buffer), 0);
  const auto* header = reinterpret_cast<const nlmsghdr*>(buffer);
  if (count < 0 || !NLMSG_OK(header, static_cast<size_t>(count)) ||
      header->nlmsg_type != SOCK_DIAG_BY_FAMILY) {
    return;
  }
  const auto* body = static_cast<const unix_diag_msg*>(NLMSG_DATA(header));
  auto left = static_cast<int>(header->nlmsg_len - NLMSG_LENGTH(sizeof(*body)));
  for (const auto* attribute = reinterpret_cast<const rtattr*>(body + 1);
       RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type != UNIX_DIAG_PEER) continue;
    uint32_t peer = 0;
    std::memcpy(&peer, RTA_DATA(attribute), sizeof(peer));
    facts.peer_inode = peer;
    facts.connected = true;
  }
}

bool Polls(int fd, short event) {
  pollfd wanted = {fd, event, 0};
  return ::poll(&wanted, 1, 0) > 0 && (wanted.revents & event) != 0;
}

}  // namespace

absl::StatusOr<SocketFacts> ReadSocketFacts(int fd, pid_t owner) {
  SocketFacts facts;
  facts.family = Option(fd, SOL_SOCKET, SO_DOMAIN);
  if (facts.family < 0) {
    return absl::InvalidArgumentError("the descriptor is no socket");
  }
  facts.type = Option(fd, SOL_SOCKET, SO_TYPE);
  facts.protocol = Option(fd, SOL_SOCKET, SO_PROTOCOL);
  struct stat info;
  if (::fstat(fd, &info) != 0) return ErrnoToStatus(errno, "fstat");
  facts.inode = info.st_ino;
  if (facts.family == AF_INET || facts.family == AF_INET6) {
    FillInet(fd, facts);
  } else if (facts.family == AF_UNIX) {
    facts.listening = Option(fd, SOL_SOCKET, SO_ACCEPTCONN) > 0;
    facts.name = UnixName(Get(&::getsockname, fd));
    facts.bound = !facts.name.empty();
    facts.peer_name = UnixName(Get(&::getpeername, fd));
    if (!facts.listening) FillUnixPeer(facts.inode, owner, facts);
    // A peer without an inode was closed, or was not accepted yet.
    if (facts.peer_inode == 0 &&
        (facts.type == SOCK_DGRAM || Polls(fd, POLLHUP))) {
      facts.connected = false;
    }
  } else if (facts.family == AF_NETLINK) {
    facts.has_unread = Polls(fd, POLLIN);
  }
  return facts;
}

}  // namespace ckpt::checkpoint
