#include "checkpoint/self_port.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "base/unix_address.h"
#include "proto/self_request.h"

namespace ckpt::checkpoint {
namespace {

// Image, store and cgroup come before the arguments.
constexpr size_t kNames = 3;

// Of Linux 6.5; not in the libc headers of Debian 12.
constexpr int kSoPassPidfd = 76;
constexpr int kScmPidfd = 4;

absl::StatusOr<UniqueFd> NewSocket() {
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return ErrnoToStatus(errno, "socket");
  return fd;
}

// Removes a socket that nobody listens at.
absl::Status RemoveAbandoned(const std::string& path,
                             const sockaddr_un& address) {
  CKPT_ASSIGN_OR_RETURN(const UniqueFd probe, NewSocket());
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address),
                sizeof(address)) == 0) {
    return absl::AlreadyExistsError(
        absl::StrCat("somebody listens at ", path, " already"));
  }
  if (errno == ENOENT) return absl::OkStatus();
  if (errno != ECONNREFUSED) return ErrnoToStatus(errno, "look at", path);
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoToStatus(errno, "remove", path);
}

// What comes with a message: who sent it, and descriptors that nobody wants.
struct Sender {
  ucred ids = {};
  UniqueFd pidfd;
};

// `names_processes`: the kernel attaches a descriptor of the sender.
Sender TakeSender(msghdr& message, bool names_processes) {
  Sender sender;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == SCM_CREDENTIALS) {
      std::memcpy(&sender.ids, CMSG_DATA(header), sizeof(sender.ids));
    } else if (header->cmsg_type == kScmPidfd ||
               header->cmsg_type == SCM_RIGHTS) {
      const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      std::vector<int> fds(count);
      std::memcpy(fds.data(), CMSG_DATA(header), count * sizeof(int));
      for (const int fd : fds) {
        UniqueFd owned(fd);
        if (header->cmsg_type == kScmPidfd) sender.pidfd = std::move(owned);
      }
    }
  }
  if (!names_processes && sender.ids.pid > 0) {
    sender.pidfd.Reset(
        static_cast<int>(::syscall(SYS_pidfd_open, sender.ids.pid, 0)));
  }
  return sender;
}

std::optional<SelfCall> Parse(absl::string_view data, Sender sender) {
  ckpt_self_request request;
  constexpr size_t kHead = offsetof(ckpt_self_request, text);
  if (data.size() < kHead || data.size() > sizeof(request)) return std::nullopt;
  std::memcpy(&request, data.data(), data.size());
  if (request.magic != CKPT_SELF_REQUEST_MAGIC ||
      request.text_bytes != data.size() - kHead || data.back() != '\0') {
    return std::nullopt;
  }
  std::vector<std::string> words = absl::StrSplit(
      absl::string_view(request.text, request.text_bytes - 1), '\0');
  if (words.size() < kNames) return std::nullopt;
  SelfCall call;
  call.asker = {sender.ids.pid, request.mailbox, request.request};
  call.pidfd = std::move(sender.pidfd);
  call.uid = sender.ids.uid;
  call.gid = sender.ids.gid;
  call.tree = (request.flags & CKPT_SELF_REQUEST_TREE) != 0;
  call.group = (request.flags & CKPT_SELF_REQUEST_CGROUP) != 0;
  call.exit = (request.flags & CKPT_SELF_REQUEST_EXIT) != 0;
  call.early = (request.flags & CKPT_SELF_REQUEST_ASYNC) != 0;
  call.timeout = absl::Milliseconds(request.timeout_ms);
  call.keep = request.keep;
  call.image = words[0];
  call.store = words[1];
  call.cgroup = words[2];
  call.arguments.assign(words.begin() + kNames, words.end());
  return call;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SelfPort>> SelfPort::Listen(
    const std::string& path, mode_t mode) {
  CKPT_ASSIGN_OR_RETURN(const sockaddr_un address, UnixAddress(path));
  const std::string directory = path.substr(0, path.rfind('/'));
  if (!directory.empty() && ::mkdir(directory.c_str(), 0755) != 0 &&
      errno != EEXIST) {
    return ErrnoToStatus(errno, "create", directory);
  }
  CKPT_RETURN_IF_ERROR(RemoveAbandoned(path, address));
  CKPT_ASSIGN_OR_RETURN(UniqueFd socket, NewSocket());
  const int on = 1;
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) !=
      0) {
    return ErrnoToStatus(errno, "set SO_PASSCRED of", path);
  }
  const bool names_processes = ::setsockopt(socket.get(), SOL_SOCKET,
                                            kSoPassPidfd, &on, sizeof(on)) == 0;
  // The file is for root alone from the start.
  if (::fchmod(socket.get(), 0600) != 0 ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address),
             sizeof(address)) != 0 ||
      ::chmod(path.c_str(), mode) != 0) {
    return ErrnoToStatus(errno, "listen at", path);
  }
  return absl::WrapUnique(
      new SelfPort(path, std::move(socket), names_processes));
}

bool SelfCall::CallerRuns() const {
  pollfd end = {pidfd.get(), POLLIN, 0};
  return ::poll(&end, 1, 0) == 0;
}

SelfPort::~SelfPort() { (void)::unlink(path_.c_str()); }

std::optional<SelfCall> SelfPort::Receive() {
  while (true) {
    char data[sizeof(ckpt_self_request) + 1];
    alignas(cmsghdr) char
        control[CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int))];
    iovec part = {data, sizeof(data)};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    const ssize_t size = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return std::nullopt;
    Sender sender = TakeSender(message, names_processes_);
    // There was no room for the kernel's word beside what the sender attached.
    if ((message.msg_flags & MSG_CTRUNC) != 0) continue;
    // Not of our PID namespace, or it has ended.
    if (sender.ids.pid == 0 || !sender.pidfd.ok()) continue;
    auto call = Parse(absl::string_view(data, static_cast<size_t>(size)),
                      std::move(sender));
    if (call.has_value()) return call;
  }
}

}  // namespace ckpt::checkpoint
