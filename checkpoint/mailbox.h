// The place in a process's memory at which it waits for the result of the
// checkpoint that it asked for (proto/mailbox.h).
//
//   CKPT_ASSIGN_OR_RETURN(Mailbox mailbox, Mailbox::Open(address));
//   CKPT_RETURN_IF_ERROR(mailbox.AwaitReady(clock, deadline));
//   ... mailbox.MarkInImage(pending, number, path) while it is dumped ...
//   CKPT_RETURN_IF_ERROR(mailbox.WriteDone(number, path));
//
// Holds on to the memory, not to the process id: what is written after the
// process's end, or its exec, reaches nobody.
#ifndef CKPT_CHECKPOINT_MAILBOX_H_
#define CKPT_CHECKPOINT_MAILBOX_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "proto/mailbox.h"
#include "store/pending_image.h"

namespace ckpt::checkpoint {

struct MailboxAddress {
  pid_t pid = 0;
  uint64_t address = 0;
  uint64_t request = 0;
};

// Movable.  Thread-compatible.
class Mailbox {
 public:
  // NotFound when there is no such process; InvalidArgument when there is no
  // mailbox of that request.
  static absl::StatusOr<Mailbox> Open(const MailboxAddress& where);

  // Until the process has made itself ready to be dumped.  DeadlineExceeded;
  // Aborted when it waits no longer.
  absl::Status AwaitReady(Clock& clock, absl::Time deadline) const;

  // The image is complete, though not on the disk: for a process that does not
  // wait for that.  WriteDone() or WriteFailed() follows.  Errors as
  // WriteDone().
  absl::Status WriteWritten(int64_t number, const std::string& image) const;
  // Ends the wait of the process.  Aborted when it has ended, or waits no
  // longer: nothing was written then.
  absl::Status WriteDone(int64_t number, const std::string& image) const;
  // The message and the errno value that stands for the code.
  absl::Status WriteFailed(const absl::Status& why) const;

  // Writes RESTARTED into the copy of the memory that is in an image.  DataLoss
  // when the image does not have it.  Aborted when the process, which must be
  // stopped, was stopped after it had given up: that is not where it wanted to
  // be dumped.
  absl::Status MarkInImage(PendingImage& pending, int64_t number,
                           const std::string& image) const;

 private:
  Mailbox(const MailboxAddress& where, UniqueFd memory)
      : where_(where), memory_(std::move(memory)) {}

  absl::StatusOr<ckpt_mailbox> Read() const;
  absl::Status WritePart(const ckpt_mailbox& box, size_t start,
                         size_t end) const;
  absl::Status Write(ckpt_mailbox_state state, int error, int64_t number,
                     absl::string_view text) const;
  ckpt_mailbox Fill(ckpt_mailbox_state state, int error, int64_t number,
                    absl::string_view text) const;

  MailboxAddress where_;
  UniqueFd memory_;
};

// The errno value by which a C program hears of a code.  0 for OK.
int ErrnoOfCode(absl::StatusCode code);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_MAILBOX_H_
