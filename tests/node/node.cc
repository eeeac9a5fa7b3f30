#include "tests/node/node.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace ckpt {
namespace {

constexpr char kInterface[] = "eth0";

struct ArpFrame {
  ether_header ethernet;
  ether_arp arp;
} __attribute__((packed));

// Sends one gratuitous ARP request from the calling process's network.
absl::Status SendGratuitousArp(const std::string& address) {
  const UniqueFd fd(
      ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ARP)));
  if (!fd.ok()) return ErrnoToStatus(errno, "socket", "AF_PACKET");
  ifreq request = {};
  std::strncpy(request.ifr_name, kInterface, IFNAMSIZ - 1);
  if (::ioctl(fd.get(), SIOCGIFHWADDR, &request) != 0) {
    return ErrnoToStatus(errno, "SIOCGIFHWADDR", kInterface);
  }
  ArpFrame frame = {};
  std::memset(frame.ethernet.ether_dhost, 0xff, ETH_ALEN);
  std::memcpy(frame.ethernet.ether_shost, request.ifr_hwaddr.sa_data, ETH_ALEN);
  frame.ethernet.ether_type = htons(ETHERTYPE_ARP);
  frame.arp.arp_hrd = htons(ARPHRD_ETHER);
  frame.arp.arp_pro = htons(ETHERTYPE_IP);
  frame.arp.arp_hln = ETH_ALEN;
  frame.arp.arp_pln = sizeof(in_addr);
  frame.arp.arp_op = htons(ARPOP_REQUEST);
  std::memcpy(frame.arp.arp_sha, request.ifr_hwaddr.sa_data, ETH_ALEN);
  if (::inet_pton(AF_INET, address.c_str(), frame.arp.arp_spa) != 1) {
    return absl::InvalidArgumentError(address + " is no IPv4 address");
  }
  std::memcpy(frame.arp.arp_tpa, frame.arp.arp_spa, sizeof frame.arp.arp_spa);

  sockaddr_ll to = {};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(::if_nametoindex(kInterface));
  to.sll_halen = ETH_ALEN;
  std::memset(to.sll_addr, 0xff, ETH_ALEN);
  if (::sendto(fd.get(), &frame, sizeof frame, 0,
               reinterpret_cast<const sockaddr*>(&to),
               sizeof to) != sizeof frame) {
    return ErrnoToStatus(errno, "send on", kInterface);
  }
  return absl::OkStatus();
}

}  // namespace

std::string Node::address() const { return absl::StrCat("10.77.0.", number_); }

std::string Node::OutsidePath(const std::string& path) const {
  return absl::StrCat("/proc/", init_pid_, "/root", path);
}

absl::StatusOr<CommandResult> Node::Run(const std::vector<std::string>& argv,
                                        const CommandOptions& options) const {
  std::vector<std::string> entered = {
      "nsenter", "--target", absl::StrCat(init_pid_),
      "--mount", "--uts",    "--ipc",
      "--net",   "--pid",    "--"};
  entered.insert(entered.end(), argv.begin(), argv.end());
  return RunCommand(entered, options);
}

absl::Status Node::RunOrError(const std::vector<std::string>& argv) const {
  CKPT_ASSIGN_OR_RETURN(const CommandResult result, Run(argv));
  if (result.exit_status == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(
      absl::StrJoin(argv, " "), " in node ", number_, " ended with status ",
      result.exit_status, ": ", result.err, result.out));
}

absl::StatusOr<Job> Node::Start(Job::Options options) const {
  options.namespaces_of = init_pid_;
  return Job::Start(options);
}

absl::Status Node::AddAddress(const std::string& address) const {
  CKPT_RETURN_IF_ERROR(
      RunOrError({"ip", "address", "add", address + "/24", "dev", kInterface}));
  // If it was held.
  return Run({"ip", "address", "del", address + "/32", "dev", "lo"}).status();
}

absl::Status Node::HoldAddress(const std::string& address) const {
  // 1: only for addresses of the interface that the question came in by.
  CKPT_RETURN_IF_ERROR(RunOrError(
      {"sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore"}));
  return RunOrError({"ip", "address", "add", address + "/32", "dev", "lo"});
}

absl::Status Node::RemoveAddress(const std::string& address) const {
  return RunOrError(
      {"ip", "address", "del", address + "/24", "dev", kInterface});
}

absl::Status Node::Announce(const std::string& address) const {
  // A socket belongs to the network that its process was in: a child goes
  // there, for a process with threads cannot come back reliably.
  const std::string path = absl::StrCat("/proc/", init_pid_, "/ns/net");
  const UniqueFd network(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!network.ok()) return ErrnoToStatus(errno, "open", path);
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoToStatus(errno, "fork");
  if (pid == 0) {
    const bool sent = ::setns(network.get(), CLONE_NEWNET) == 0 &&
                      SendGratuitousArp(address).ok();
    ::_exit(sent ? 0 : 1);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (status == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("cannot announce ", address, " from node ", number_));
}

absl::Status Node::CopyTo(const std::string& path, const Node& other) const {
  CKPT_ASSIGN_OR_RETURN(
      const CommandResult result,
      RunCommand({"cp", "--archive", "--no-target-directory", OutsidePath(path),
                  other.OutsidePath(path)}));
  if (result.exit_status == 0) return absl::OkStatus();
  return absl::InternalError(result.err);
}

}  // namespace ckpt
