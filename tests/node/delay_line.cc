#include "tests/node/delay_line.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"

namespace ckpt {
namespace {

constexpr size_t kMaxFrames = 4096;
// Of segments that the kernel has not cut up yet, behind a struct
// virtio_net_hdr (linux/virtio_net.h, which is no C++).
// Of segments that the kernel has not cut up yet, behind the 10 bytes of a
// virtio_net_hdr, whose header is no C++.
constexpr size_t kMaxFrameBytes = 10 + (68 << 10);
constexpr int kSocketBytes = 8 << 20;

absl::StatusOr<UniqueFd> OpenInterface(const std::string& name) {
  UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return ErrnoToStatus(errno, "packet socket", name);
  constexpr int kOn = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kSocketBytes,
               sizeof kSocketBytes);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSocketBytes,
               sizeof kSocketBytes);
  if (::setsockopt(fd.get(), SOL_PACKET, PACKET_VNET_HDR, &kOn, sizeof kOn) !=
          0 ||
      ::setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &kOn,
                   sizeof kOn) != 0) {
    return ErrnoToStatus(errno, "set up the packet socket", name);
  }
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(::if_nametoindex(name.c_str()));
  if (address.sll_ifindex == 0 ||
      ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) !=
          0) {
    return ErrnoToStatus(errno, "bind to the interface", name);
  }
  return fd;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DelayLine>> DelayLine::Start(
    pid_t pid, const std::string& one, const std::string& other,
    absl::Duration delay) {
  auto line = absl::WrapUnique(new DelayLine(delay));
  absl::Status opened;
  // Sockets belong to the network namespace in which they were made.
  std::thread([&] { opened = line->Open(pid, one, other); }).join();
  CKPT_RETURN_IF_ERROR(opened);
  line->thread_ = std::thread([self = line.get()] { self->Run(); });
  return line;
}

DelayLine::~DelayLine() {
  stop_.Cancel();
  if (thread_.joinable()) thread_.join();
}

absl::Status DelayLine::Open(pid_t pid, const std::string& one,
                             const std::string& other) {
  const std::string path = absl::StrCat("/proc/", pid, "/ns/net");
  const UniqueFd network(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!network.ok() || ::setns(network.get(), CLONE_NEWNET) != 0) {
    return ErrnoToStatus(errno, "enter", path);
  }
  CKPT_ASSIGN_OR_RETURN(one_, OpenInterface(one));
  CKPT_ASSIGN_OR_RETURN(other_, OpenInterface(other));
  return absl::OkStatus();
}

void DelayLine::Run() {
  buffer_.resize(kMaxFrameBytes);
  while (!stop_.cancelled()) {
    absl::Duration wait = absl::InfiniteDuration();
    for (Direction& direction : directions_) {
      Pass(direction);
      if (direction.frames.empty()) continue;
      wait = std::min(wait, direction.frames.front().due - Clock::Real().Now());
    }
    const timespec limit =
        absl::ToTimespec(std::max(wait, absl::ZeroDuration()));
    pollfd fds[] = {{one_.get(), POLLIN, 0},
                    {other_.get(), POLLIN, 0},
                    {stop_.fd(), POLLIN, 0}};
    (void)::ppoll(fds, std::size(fds),
                  wait == absl::InfiniteDuration() ? nullptr : &limit, nullptr);
    for (Direction& direction : directions_) Take(direction);
  }
}

void DelayLine::Take(Direction& direction) {
  while (true) {
    const ssize_t size = ::recv(direction.from->get(), buffer_.data(),
                                buffer_.size(), MSG_TRUNC);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return;
    const auto bytes = static_cast<size_t>(size);
    if (bytes > buffer_.size() || direction.frames.size() >= kMaxFrames) {
      continue;
    }
    direction.frames.push_back({.due = Clock::Real().Now() + delay_,
                                .bytes = buffer_.substr(0, bytes)});
  }
}

void DelayLine::Pass(Direction& direction) {
  const absl::Time now = Clock::Real().Now();
  while (!direction.frames.empty() && direction.frames.front().due <= now) {
    const std::string& bytes = direction.frames.front().bytes;
    // What there is no room for is lost.
    (void)!::send(direction.to->get(), bytes.data(), bytes.size(), 0);
    direction.frames.pop_front();
  }
}

}  // namespace ckpt
