// Kinds of odd_job that are a socket.

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "tests/testcases/odd_job.h"

namespace ckpt {
namespace {

int Socket(int family, int type, int protocol) {
  return Must(::socket(family, type | SOCK_CLOEXEC, protocol), "socket");
}

template <typename Address>
const sockaddr* Generic(const Address& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

sockaddr_un UnixAddress(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return address;
}

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

uint16_t PortOf(int fd) {
  sockaddr_in address = {};
  socklen_t size = sizeof(address);
  Must(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size),
       "getsockname");
  return ntohs(address.sin_port);
}

// Connects to a socket that somebody else has bound to a path.
template <int type>
void UnixConnect(const OddArguments& arguments) {
  const sockaddr_un address = UnixAddress(ArgumentOf(arguments, 0));
  Must(::connect(Socket(AF_UNIX, type, 0), Generic(address), sizeof(address)),
       "connect");
}

template <int type>
void UnixBound(const OddArguments& arguments) {
  const sockaddr_un address = UnixAddress(ArgumentOf(arguments, 0));
  const int fd = Socket(AF_UNIX, type, 0);
  Must(::bind(fd, Generic(address), sizeof(address)), "bind");
  if (type != SOCK_DGRAM) Must(::listen(fd, 8), "listen");
}

template <int type>
void UnixPair(const OddArguments&) {
  int ends[2];
  Must(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), "socketpair");
}

// The other end is closed.
template <int type>
void UnixHalfPair(const OddArguments&) {
  int ends[2];
  Must(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), "socketpair");
  ::close(ends[0]);
}

// Connects to itself, and does not accept.
void UnixNotAccepted(const OddArguments& arguments) {
  UnixBound<SOCK_STREAM>(arguments);
  UnixConnect<SOCK_STREAM>(arguments);
}

int ListenTcp(int protocol = 0) {
  const int fd = Socket(AF_INET, SOCK_STREAM, protocol);
  const sockaddr_in any = Loopback(0);
  Must(::bind(fd, Generic(any), sizeof(any)), "bind");
  Must(::listen(fd, 8), "listen");
  return fd;
}

void TcpListen(const OddArguments&) { ListenTcp(); }
void TcpPlain(const OddArguments&) { Socket(AF_INET, SOCK_STREAM, 0); }

int ConnectTcp(uint16_t port) {
  const int fd = Socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = Loopback(port);
  Must(::connect(fd, Generic(address), sizeof(address)), "connect");
  return fd;
}

void TcpConnect(const OddArguments& arguments) {
  ConnectTcp(static_cast<uint16_t>(std::stoi(ArgumentOf(arguments, 0))));
}

void TcpInside(const OddArguments&) {
  const int listener = ListenTcp();
  ConnectTcp(PortOf(listener));
  Must(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept");
}

void TcpNotAccepted(const OddArguments&) { ConnectTcp(PortOf(ListenTcp())); }

// The other side has said that it will send no more: CLOSE_WAIT.
void TcpHalfClosed(const OddArguments&) {
  const int listener = ListenTcp();
  const int client = ConnectTcp(PortOf(listener));
  Must(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept");
  Must(::shutdown(client, SHUT_WR), "shutdown");
}

// Connected, closed by both sides, still open as a descriptor.
void TcpClosed(const OddArguments&) {
  const int listener = ListenTcp();
  const int client = ConnectTcp(PortOf(listener));
  const int server =
      Must(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept");
  Must(::shutdown(client, SHUT_WR), "shutdown");
  ::close(server);
}

template <int family, int type, int protocol>
void Plain(const OddArguments&) {
  Socket(family, type, protocol);
}

void Mptcp(const OddArguments&) { ListenTcp(IPPROTO_MPTCP); }

void UdpBound(const OddArguments&) {
  const int fd = Socket(AF_INET, SOCK_DGRAM, 0);
  const sockaddr_in any = Loopback(0);
  Must(::bind(fd, Generic(any), sizeof(any)), "bind");
}

void UdpCorked(const OddArguments&) {
  const int fd = Socket(AF_INET, SOCK_DGRAM, 0);
  const int one = 1;
  Must(::setsockopt(fd, IPPROTO_UDP, UDP_CORK, &one, sizeof(one)), "UDP_CORK");
}

void Packet(const OddArguments&) { Socket(AF_PACKET, SOCK_RAW, 0); }

void PacketRing(const OddArguments&) {
  const int fd = Socket(AF_PACKET, SOCK_RAW, 0);
  tpacket_req ring = {};
  ring.tp_block_size = 4096;
  ring.tp_block_nr = 1;
  ring.tp_frame_size = 2048;
  ring.tp_frame_nr = 2;
  Must(::setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)),
       "PACKET_RX_RING");
}

// With an answer in it that nobody has read.
void NetlinkUnread(const OddArguments&) {
  const int fd = Socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  struct {
    nlmsghdr header;
    unsigned char family[4];
  } request = {};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = 18;  // RTM_GETLINK
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  Must(::send(fd, &request, sizeof(request), 0), "send");
}

}  // namespace

const std::vector<OddKind>& OddSockets() {
  static const std::vector<OddKind>& kinds = *new std::vector<OddKind>{
      {"unix_stream_to", &UnixConnect<SOCK_STREAM>},
      {"unix_seqpacket_to", &UnixConnect<SOCK_SEQPACKET>},
      {"unix_dgram_to", &UnixConnect<SOCK_DGRAM>},
      {"unix_listen", &UnixBound<SOCK_STREAM>},
      {"unix_bound", &UnixBound<SOCK_DGRAM>},
      {"unix_pair", &UnixPair<SOCK_STREAM>},
      {"unix_dgram_pair", &UnixPair<SOCK_DGRAM>},
      {"unix_half_pair", &UnixHalfPair<SOCK_STREAM>},
      {"unix_dgram_half_pair", &UnixHalfPair<SOCK_DGRAM>},
      {"unix_not_accepted", &UnixNotAccepted},
      {"tcp_listen", &TcpListen},
      {"tcp_plain", &TcpPlain},
      {"tcp_to", &TcpConnect},
      {"tcp_inside", &TcpInside},
      {"tcp_not_accepted", &TcpNotAccepted},
      {"tcp_half_closed", &TcpHalfClosed},
      {"tcp_closed", &TcpClosed},
      {"mptcp", &Mptcp},
      {"udp", &UdpBound},
      {"udp_corked", &UdpCorked},
      {"udplite", &Plain<AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE>},
      {"raw", &Plain<AF_INET, SOCK_RAW, IPPROTO_ICMP>},
      {"raw6", &Plain<AF_INET6, SOCK_RAW, IPPROTO_ICMPV6>},
      {"ping", &Plain<AF_INET, SOCK_DGRAM, IPPROTO_ICMP>},
      {"packet", &Packet},
      {"packet_ring", &PacketRing},
      {"netlink", &Plain<AF_NETLINK, SOCK_RAW, NETLINK_ROUTE>},
      {"netlink_unread", &NetlinkUnread},
      {"netlink_uevent", &Plain<AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT>},
      {"vsock", &Plain<AF_VSOCK, SOCK_STREAM, 0>},
      {"xdp", &Plain<AF_XDP, SOCK_RAW, 0>},
  };
  return kinds;
}

}  // namespace ckpt
