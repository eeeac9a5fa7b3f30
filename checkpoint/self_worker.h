// A `ckpt self-dump` that was started for a job's call (self_port.h).
//
//   CKPT_ASSIGN_OR_RETURN(SelfWorker worker,
//                         SelfWorker::Start(call, terms, programs));
//   ... when worker.fd() is readable ...
//   if (worker.Reap()) ...
//
// It is a process of its own, so that whoever started it need not leave its own
// groups, and may be killed without a loss: the worker itself tells the job.
#ifndef CKPT_CHECKPOINT_SELF_WORKER_H_
#define CKPT_CHECKPOINT_SELF_WORKER_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "checkpoint/mailbox.h"
#include "checkpoint/self_port.h"

namespace ckpt::checkpoint {

struct SelfPrograms {
  std::string ckpt;
  std::string criu;  // "": ckpt looks for it
};

// What a caller is granted.
struct SelfTerms {
  std::string store;           // "": the default one
  std::optional<uid_t> owner;  // all tasks must be this user's
  // All tasks must be in the caller's PID namespace, or in one below it: they
  // are a container's, whose root has asked.
  bool within = false;
  // Only so many at a time for all callers of its user.
  bool has_share = false;
};

// Movable.  Not thread-safe.
class SelfWorker {
 public:
  // InvalidArgument: the caller's arguments are to stand for what only the
  // service may say, such as which process it is.
  static absl::StatusOr<SelfWorker> Start(const SelfCall& call,
                                          const SelfTerms& terms,
                                          const SelfPrograms& programs);

  // Readable when it has ended.
  int fd() const { return pidfd_.get(); }
  bool IsFor(const MailboxAddress& asker) const {
    return asker_.pid == asker.pid && asker_.request == asker.request;
  }
  // The user of whose share it is.
  std::optional<uid_t> share_of() const { return share_of_; }

  // Whether it has ended.  A job whose worker was killed is told so.
  bool Reap();

 private:
  SelfWorker(const MailboxAddress& asker, std::optional<uid_t> share_of,
             pid_t pid, UniqueFd pidfd)
      : asker_(asker),
        share_of_(share_of),
        pid_(pid),
        pidfd_(std::move(pidfd)) {}

  MailboxAddress asker_;
  std::optional<uid_t> share_of_;
  pid_t pid_;
  UniqueFd pidfd_;
};

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_SELF_WORKER_H_
