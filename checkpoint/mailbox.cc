#include "checkpoint/mailbox.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/status.h"
#include "store/criu_memory.h"

namespace ckpt::checkpoint {
namespace {

static_assert(sizeof(ckpt_mailbox) == CKPT_MAILBOX_BYTES);

constexpr absl::Duration kPollInterval = absl::Microseconds(200);

absl::Status WaitsNoLonger(pid_t pid) {
  return absl::AbortedError(absl::StrCat(
      "process ", pid, " does not wait for this checkpoint any more"));
}

}  // namespace

absl::StatusOr<Mailbox> Mailbox::Open(const MailboxAddress& where) {
  const std::string path = absl::StrCat("/proc/", where.pid, "/mem");
  CKPT_ASSIGN_OR_RETURN(UniqueFd memory, OpenAt(AT_FDCWD, path, O_RDWR));
  if (where.address % CKPT_MAILBOX_BYTES != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("address ", absl::Hex(where.address),
                     " is not that of a mailbox: it is not aligned"));
  }
  Mailbox mailbox(where, std::move(memory));
  CKPT_RETURN_IF_ERROR(mailbox.Read().status());
  return mailbox;
}

absl::StatusOr<ckpt_mailbox> Mailbox::Read() const {
  ckpt_mailbox box;
  const ssize_t count = ::pread(memory_.get(), &box, sizeof box,
                                static_cast<off_t>(where_.address));
  if (count == 0) return WaitsNoLonger(where_.pid);  // it has ended
  if (count != sizeof box || box.magic != CKPT_MAILBOX_MAGIC) {
    return absl::InvalidArgumentError(
        absl::StrCat("process ", where_.pid, " has no mailbox at address 0x",
                     absl::Hex(where_.address)));
  }
  if (box.request != where_.request) return WaitsNoLonger(where_.pid);
  return box;
}

absl::Status Mailbox::AwaitReady(Clock& clock, absl::Time deadline) const {
  for (;;) {
    CKPT_ASSIGN_OR_RETURN(const ckpt_mailbox box, Read());
    if (box.state == CKPT_MAILBOX_READY) return absl::OkStatus();
    if (box.state != CKPT_MAILBOX_IDLE) return WaitsNoLonger(where_.pid);
    if (clock.Now() > deadline) {
      return absl::DeadlineExceededError(absl::StrCat(
          "process ", where_.pid, " did not get ready for its checkpoint"));
    }
    clock.Sleep(kPollInterval);
  }
}

ckpt_mailbox Mailbox::Fill(ckpt_mailbox_state state, int error, int64_t number,
                           absl::string_view text) const {
  ckpt_mailbox box = {};
  box.magic = CKPT_MAILBOX_MAGIC;
  box.request = where_.request;
  box.state = state;
  box.error = error;
  box.number = number;
  const size_t length = std::min(text.size(), sizeof box.text - 1);
  std::memcpy(box.text, text.data(), length);
  return box;
}

absl::Status Mailbox::Write(ckpt_mailbox_state state, int error, int64_t number,
                            absl::string_view text) const {
  constexpr size_t kState = offsetof(ckpt_mailbox, state);
  constexpr size_t kRest = offsetof(ckpt_mailbox, error);
  CKPT_ASSIGN_OR_RETURN(const ckpt_mailbox before, Read());
  ckpt_mailbox box = Fill(state, error, number, text);
  if (before.state == CKPT_MAILBOX_WRITTEN) {
    // It may be reading what came with that, and looks at the state again when
    // it has.
    box.state = CKPT_MAILBOX_CHANGING;
    CKPT_RETURN_IF_ERROR(WritePart(box, kState, kRest));
    box.state = state;
  } else if (before.state != CKPT_MAILBOX_READY) {
    return WaitsNoLonger(where_.pid);
  }
  // All the rest first, as the process takes what it finds when the state
  // changes.
  CKPT_RETURN_IF_ERROR(WritePart(box, kRest, sizeof box));
  return WritePart(box, kState, kRest);
}

absl::Status Mailbox::WritePart(const ckpt_mailbox& box, size_t start,
                                size_t end) const {
  const char* const bytes = reinterpret_cast<const char*>(&box);
  if (::pwrite(memory_.get(), bytes + start, end - start,
               static_cast<off_t>(where_.address + start)) >= 0) {
    return absl::OkStatus();
  }
  return ErrnoToStatus(errno, "write the memory of process",
                       absl::StrCat(where_.pid));
}

absl::Status Mailbox::WriteWritten(int64_t number,
                                   const std::string& image) const {
  return Write(CKPT_MAILBOX_WRITTEN, 0, number, image);
}

absl::Status Mailbox::WriteDone(int64_t number,
                                const std::string& image) const {
  return Write(CKPT_MAILBOX_DONE, 0, number, image);
}

absl::Status Mailbox::WriteFailed(const absl::Status& why) const {
  return Write(CKPT_MAILBOX_FAILED, ErrnoOfCode(why.code()), 0,
               absl::string_view(why.message().data(), why.message().size()));
}

absl::Status Mailbox::MarkInImage(PendingImage& pending, int64_t number,
                                  const std::string& image) const {
  CKPT_ASSIGN_OR_RETURN(const ckpt_mailbox now, Read());
  if (now.state != CKPT_MAILBOX_READY) return WaitsNoLonger(where_.pid);
  const ckpt_mailbox box = Fill(CKPT_MAILBOX_RESTARTED, 0, number, image);
  return WriteImageMemory(
      pending, InnermostPid(ProcFs::Real(), where_.pid), where_.address,
      absl::string_view(reinterpret_cast<const char*>(&box), sizeof box));
}

int ErrnoOfCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kInvalidArgument:
      return EINVAL;
    case absl::StatusCode::kNotFound:
      return ENOENT;
    case absl::StatusCode::kAlreadyExists:
      return EEXIST;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return EPERM;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
      return ENOTSUP;
    case absl::StatusCode::kUnavailable:
      return EBUSY;
    case absl::StatusCode::kDeadlineExceeded:
      return ETIMEDOUT;
    case absl::StatusCode::kCancelled:
      return ECANCELED;
    case absl::StatusCode::kResourceExhausted:
      return ENOSPC;
    case absl::StatusCode::kAborted:
      return EAGAIN;
    default:
      return EIO;
  }
}

}  // namespace ckpt::checkpoint
