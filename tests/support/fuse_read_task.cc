#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/mount.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "tests/support/blocked_task_kinds.h"

namespace ckpt {
namespace {

constexpr int kTimeoutMs = 10'000;
constexpr char kContents = 'x';  // of the file, which is one byte long

// A request as it is read from /dev/fuse, in one piece.
struct Request {
  fuse_in_header header;
  char body[FUSE_MIN_READ_BUFFER];
};

absl::Status Reply(int fuse, const Request& request, const void* body,
                   size_t size) {
  fuse_out_header header = {};
  header.len = sizeof header + size;
  header.unique = request.header.unique;
  const iovec parts[] = {{&header, sizeof header},
                         {const_cast<void*>(body), size}};
  if (::writev(fuse, parts, 2) == static_cast<ssize_t>(header.len)) {
    return absl::OkStatus();
  }
  return ErrnoToStatus(errno, "reply to", "/dev/fuse");
}

absl::Status ReplyError(int fuse, const Request& request, int error) {
  fuse_out_header header = {};
  header.len = sizeof header;
  header.error = -error;
  header.unique = request.header.unique;
  if (::write(fuse, &header, sizeof header) == sizeof header) {
    return absl::OkStatus();
  }
  return ErrnoToStatus(errno, "reply to", "/dev/fuse");
}

// Waits for a request; it stays in the queue.
absl::Status AwaitRequest(int fuse) {
  pollfd event = {fuse, POLLIN, 0};
  if (::poll(&event, 1, kTimeoutMs) == 1) return absl::OkStatus();
  return absl::InternalError("no request comes from /dev/fuse");
}

absl::Status TakeRequest(int fuse, Request& request) {
  if (::read(fuse, &request, sizeof request) >=
      static_cast<ssize_t>(sizeof request.header)) {
    return absl::OkStatus();
  }
  return ErrnoToStatus(errno, "read", "/dev/fuse");
}

fuse_attr FileAttributes() {
  fuse_attr attributes = {};
  attributes.ino = FUSE_ROOT_ID;
  attributes.size = sizeof kContents;
  attributes.mode = S_IFREG | 0400;
  attributes.nlink = 1;
  return attributes;
}

absl::Status Answer(int fuse, const Request& request) {
  switch (request.header.opcode) {
    case FUSE_INIT: {
      fuse_init_in asked;
      std::memcpy(&asked, request.body, sizeof asked);
      fuse_init_out out = {};
      out.major = FUSE_KERNEL_VERSION;
      out.minor = asked.minor < FUSE_KERNEL_MINOR_VERSION
                      ? asked.minor
                      : FUSE_KERNEL_MINOR_VERSION;
      out.max_write = 4096;
      return Reply(fuse, request, &out, sizeof out);
    }
    case FUSE_GETATTR: {
      fuse_attr_out out = {};
      out.attr = FileAttributes();
      return Reply(fuse, request, &out, sizeof out);
    }
    case FUSE_OPEN: {
      fuse_open_out out = {};
      // One read() is one request, and close() is none: a killed task would
      // wait for the answer.
      out.open_flags = FOPEN_DIRECT_IO | FOPEN_NOFLUSH;
      return Reply(fuse, request, &out, sizeof out);
    }
    default:
      return ReplyError(fuse, request, ENOSYS);
  }
}

// A mount of the server on `fuse` that is attached to no directory, and whose
// root is a file.
absl::StatusOr<UniqueFd> MountFile(int fuse) {
  const UniqueFd context(
      static_cast<int>(::syscall(SYS_fsopen, "fuse", FSOPEN_CLOEXEC)));
  if (!context.ok()) return ErrnoToStatus(errno, "fsopen", "fuse");
  const std::pair<const char*, std::string> options[] = {
      {"fd", absl::StrCat(fuse)},
      {"rootmode", "100400"},  // octal: S_IFREG | 0400
      {"user_id", "0"},
      {"group_id", "0"},
  };
  for (const auto& [key, value] : options) {
    if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, key,
                  value.c_str(), 0) != 0) {
      return ErrnoToStatus(errno, "fsconfig", key);
    }
  }
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr,
                nullptr, 0) != 0) {
    return ErrnoToStatus(errno, "fsconfig", "create");
  }
  UniqueFd mount(static_cast<int>(
      ::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, 0)));
  if (!mount.ok()) return ErrnoToStatus(errno, "fsmount", "fuse");
  return mount;
}

// In the task.
void BlockInRead(const char* path) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  char byte;
  if (fd < 0 || ::read(fd, &byte, 1) != 1 || byte != kContents) ::_exit(1);
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlockedTask>> FuseReadTask::Start(
    const std::vector<const TestCgroup*>& cgroups) {
  auto task = std::make_unique<FuseReadTask>();
  task->fuse_.Reset(::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!task->fuse_.ok()) {
    const absl::Status status = ErrnoToStatus(errno, "open", "/dev/fuse");
    if (!absl::IsNotFound(status)) return status;
    return absl::UnimplementedError(status.message());
  }
  CKPT_ASSIGN_OR_RETURN(const UniqueFd mount, MountFile(task->fuse_.get()));
  const std::string path = absl::StrCat("/proc/self/fd/", mount.get());
  CKPT_RETURN_IF_ERROR(
      task->Fork(cgroups, mount.get(), [&path] { BlockInRead(path.c_str()); }));
  CKPT_RETURN_IF_ERROR(task->ServeUntilRead());
  return task;
}

absl::Status FuseReadTask::ServeUntilRead() {
  bool opened = false;
  for (;;) {
    CKPT_RETURN_IF_ERROR(AwaitRequest(fuse_.get()));
    if (opened) return absl::OkStatus();  // the read, for Unblock()
    Request request;
    CKPT_RETURN_IF_ERROR(TakeRequest(fuse_.get(), request));
    CKPT_RETURN_IF_ERROR(Answer(fuse_.get(), request));
    opened = request.header.opcode == FUSE_OPEN;
  }
}

absl::Status FuseReadTask::Unblock() {
  Request request;
  CKPT_RETURN_IF_ERROR(TakeRequest(fuse_.get(), request));
  if (request.header.opcode != FUSE_READ) {
    return absl::InternalError(
        absl::StrCat("the request is no read but ", request.header.opcode));
  }
  return Reply(fuse_.get(), request, &kContents, sizeof kContents);
}

}  // namespace ckpt
