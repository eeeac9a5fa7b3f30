#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "base/status.h"
#include "tests/support/blocked_task_kinds.h"

namespace ckpt {
namespace {

// The task blocks within microseconds; this is for a machine that is stuck.
constexpr int kTimeoutMs = 10'000;

struct Message {
  int error = 0;
  uint64_t page = 0;
};

// Sends `message`, with a descriptor if `fd` is one.
void Send(int socket, const Message& message, int fd) {
  iovec data = {const_cast<Message*>(&message), sizeof message};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header = {};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  if (fd >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  (void)!::sendmsg(socket, &header, MSG_NOSIGNAL);
}

// Returns the descriptor that came with `message`, if any.
UniqueFd Receive(int socket, Message& message) {
  iovec data = {&message, sizeof message};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header = {};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  if (::recvmsg(socket, &header, MSG_CMSG_CLOEXEC) != sizeof message) {
    message.error = EPIPE;
    return UniqueFd();
  }
  const cmsghdr* const rights = CMSG_FIRSTHDR(&header);
  if (rights == nullptr || rights->cmsg_type != SCM_RIGHTS) return UniqueFd();
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(rights), sizeof fd);
  return UniqueFd(fd);
}

// A userfaultfd that holds back `page`, or -1.
int HoldBack(void* page, uint64_t size) {
  const int uffd =
      static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
  if (uffd < 0) return -1;
  uffdio_api api = {};
  api.api = UFFD_API;
  uffdio_register range = {};
  range.range = {reinterpret_cast<uintptr_t>(page), size};
  range.mode = UFFDIO_REGISTER_MODE_MISSING;
  if (::ioctl(uffd, UFFDIO_API, &api) != 0 ||
      ::ioctl(uffd, UFFDIO_REGISTER, &range) != 0) {
    return -1;
  }
  return uffd;
}

// In the task.
void BlockInPageFault(int socket) {
  const uint64_t size = ::getpagesize();
  Message message;
  int ends[2];
  void* const page = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const int uffd = page == MAP_FAILED ? -1 : HoldBack(page, size);
  if (uffd < 0 || ::pipe2(ends, O_CLOEXEC) != 0) {
    message.error = errno;
    Send(socket, message, -1);
    ::_exit(1);
  }
  message.page = reinterpret_cast<uintptr_t>(page);
  Send(socket, message, uffd);
  ::close(uffd);  // it is the test's alone: it ends with the test
  (void)!::write(ends[1], page, size);
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlockedTask>> PageFaultTask::Start(
    const std::vector<const TestCgroup*>& cgroups) {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    return ErrnoToStatus(errno, "socketpair");
  }
  const UniqueFd mine(sockets[0]);
  UniqueFd theirs(sockets[1]);
  auto task = std::make_unique<PageFaultTask>();
  CKPT_RETURN_IF_ERROR(task->Fork(
      cgroups, theirs.get(), [&theirs] { BlockInPageFault(theirs.get()); }));
  theirs.Reset();
  Message message;
  task->uffd_ = Receive(mine.get(), message);
  if (message.error != 0) return ErrnoToStatus(message.error, "userfaultfd");
  task->page_ = message.page;

  pollfd event = {task->uffd_.get(), POLLIN, 0};
  uffd_msg fault = {};
  if (::poll(&event, 1, kTimeoutMs) != 1 ||
      ::read(task->uffd_.get(), &fault, sizeof fault) != sizeof fault ||
      fault.event != UFFD_EVENT_PAGEFAULT) {
    return absl::InternalError("the task does not touch its page");
  }
  return task;
}

absl::Status PageFaultTask::Unblock() {
  uffdio_zeropage zero = {};
  zero.range = {page_, static_cast<uint64_t>(::getpagesize())};
  if (::ioctl(uffd_.get(), UFFDIO_ZEROPAGE, &zero) == 0) {
    return absl::OkStatus();
  }
  return ErrnoToStatus(errno, "UFFDIO_ZEROPAGE");
}

}  // namespace ckpt
