#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checkpoint/job_findings.h"

namespace ckpt::checkpoint {
namespace {

constexpr Rule kTcpConnection = {
    "tcp connection", "which is dumped on request only",
    "use --tcp-established to keep it, or --tcp-close to drop it",
    "--tcp-established"};
constexpr Rule kTcpEnded = {
    "ended tcp connection",
    "which CRIU dumps, and refuses to restore unless asked for connections",
    "use --tcp-established, or let the program close it", "--tcp-established"};
constexpr Rule kNotAccepted = {
    "connection not accepted",
    "which CRIU cannot dump",
    "try again; where it lasts, let the program accept it, or use "
    "--criu-config with a file that says skip-in-flight, which drops it",
    "--criu-config",
    v1::CheckFinding::LEVEL_BLOCKER,
    /*will_pass=*/true};
constexpr Rule kMptcp = {
    "socket", "which CRIU cannot dump",
    "let the program use plain TCP (Go: GODEBUG=multipathtcp=0)"};
constexpr Rule kProtocol = {"socket", "which CRIU cannot dump",
                            "let the program close it for the dump"};
constexpr Rule kCorked = {
    "corked udp socket",
    "of which CRIU cannot dump what it holds back",
    "try again; where it lasts, let the program uncork it",
    "",
    v1::CheckFinding::LEVEL_BLOCKER,
    /*will_pass=*/true};
constexpr Rule kUnread = {
    "unread netlink answer",
    "which CRIU cannot dump",
    "try again; where it lasts, let the program read it or close the socket",
    "",
    v1::CheckFinding::LEVEL_BLOCKER,
    /*will_pass=*/true};
constexpr Rule kUnixDatagram = {
    "unix socket",
    "whose peer is outside the job; it is dumped on request only",
    "use --ext-unix-sk: the restored one connects to whoever has the name then",
    "--ext-unix-sk"};
constexpr Rule kUnixStream = {
    "unix connection",
    "whose peer is outside the job, and which CRIU cannot restore",
    "let the program close it for the dump"};

// What is known of the unix sockets of the whole job.
struct UnixSockets {
  std::set<uint64_t> inodes;
  std::set<std::string> listening;
};

UnixSockets CollectUnix(const JobSurvey& survey) {
  UnixSockets all;
  for (const SurveyedProcess& process : survey.processes) {
    for (const SurveyedFd& fd : process.fds) {
      if (!fd.socket.has_value() || fd.socket->family != AF_UNIX) continue;
      all.inodes.insert(fd.socket->inode);
      if (fd.socket->listening) all.listening.insert(fd.socket->name);
    }
  }
  return all;
}

void JudgeUnix(const UnixSockets& all, const SurveyedProcess& process,
               const SurveyedFd& fd, FindingList& list) {
  const SocketFacts& socket = *fd.socket;
  if (!socket.connected || all.inodes.count(socket.peer_inode) > 0) return;
  // Not accepted yet, by a socket of the job.
  if (socket.peer_inode == 0 && all.listening.count(socket.peer_name) > 0) {
    return;
  }
  if (list.HasExternal(absl::StrCat("unix[", socket.inode, "]"))) return;
  const std::string found =
      absl::StrCat(FdName(process, fd), " is a unix ",
                   socket.type == SOCK_DGRAM ? "datagram" : "stream", " socket",
                   socket.peer_name.empty() ? "" : " to ", socket.peer_name);
  if (socket.type != SOCK_DGRAM) {
    list.Add(kUnixStream, found, &process, &fd, socket.peer_name);
  } else if (!list.options().ext_unix_sk()) {
    list.Add(kUnixDatagram, found, &process, &fd, socket.peer_name);
  }
}

void JudgeTcp(const SurveyedProcess& process, const SurveyedFd& fd,
              FindingList& list) {
  const SocketFacts& socket = *fd.socket;
  const bool keeps = list.options().tcp_established();
  const bool drops = list.options().tcp_close();
  const std::string at =
      absl::StrCat(FdName(process, fd), " is a TCP socket at ", socket.address,
                   " port ", socket.port);
  if (socket.not_accepted > 0) {
    list.Add(kNotAccepted,
             absl::StrCat(at, " with ", socket.not_accepted,
                          " connections that are not accepted yet"),
             &process, &fd);
  }
  if (socket.connected && !keeps && !drops) {
    list.Add(kTcpConnection, absl::StrCat(at, ", connected"), &process, &fd);
  }
  if (socket.was_connected && !keeps) {
    list.Add(kTcpEnded, absl::StrCat(at, ", that was connected"), &process,
             &fd);
  }
}

void JudgeInet(const SurveyedProcess& process, const SurveyedFd& fd,
               FindingList& list) {
  const SocketFacts& socket = *fd.socket;
  if (socket.type == SOCK_RAW) return;
  switch (socket.protocol) {
    case IPPROTO_TCP:
      JudgeTcp(process, fd, list);
      return;
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
      if (socket.corked) {
        list.Add(kCorked,
                 absl::StrCat(FdName(process, fd), " is a UDP socket at port ",
                              socket.port),
                 &process, &fd);
      }
      return;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return;
    case IPPROTO_MPTCP:
      list.Add(kMptcp,
               absl::StrCat(FdName(process, fd), " is a multipath TCP socket"),
               &process, &fd);
      return;
    default:
      list.Add(kProtocol,
               absl::StrCat(FdName(process, fd), " is a socket of IP protocol ",
                            socket.protocol),
               &process, &fd);
  }
}

void JudgeSocket(const UnixSockets& all, const SurveyedProcess& process,
                 const SurveyedFd& fd, FindingList& list) {
  switch (fd.socket->family) {
    case AF_UNIX:
      JudgeUnix(all, process, fd, list);
      return;
    case AF_INET:
    case AF_INET6:
      JudgeInet(process, fd, list);
      return;
    case AF_NETLINK:
      if (fd.socket->has_unread) {
        list.Add(kUnread,
                 absl::StrCat(FdName(process, fd),
                              " is a netlink socket with unread data"),
                 &process, &fd);
      }
      return;
    case AF_PACKET:
      return;
    default:
      list.Add(kProtocol,
               absl::StrCat(FdName(process, fd), " is a socket of family ",
                            fd.socket->family),
               &process, &fd);
  }
}

}  // namespace

void JudgeSockets(const JobSurvey& survey, FindingList& list) {
  const UnixSockets all = CollectUnix(survey);
  std::set<uint64_t> seen;  // one socket, several descriptors
  for (const SurveyedProcess& process : survey.processes) {
    for (const SurveyedFd& fd : process.fds) {
      if (!fd.socket.has_value() || !seen.insert(fd.socket->inode).second) {
        continue;
      }
      JudgeSocket(all, process, fd, list);
    }
  }
}

}  // namespace ckpt::checkpoint
