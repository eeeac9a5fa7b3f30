// The checkpoint of a job that asked for it itself, through libckpt.
//
//   CKPT_ASSIGN_OR_RETURN(v1::DumpReport report,
//                         SelfDump(request, {.store = &store, .criu = path}));
//
// It is made by a process outside the job, which the job has started and does
// not know any more: this one.  It leaves the job's groups, finds out what
// belongs to the job, dumps it as Dump() does, and leaves the result in the
// mailbox of the process that asked.  docs/self_checkpoint.md tells how.
#ifndef CKPT_CHECKPOINT_SELF_H_
#define CKPT_CHECKPOINT_SELF_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "checkpoint/dump.h"
#include "checkpoint/mailbox.h"
#include "proto/checkpoint.pb.h"
#include "store/image_store.h"

namespace ckpt::checkpoint {

enum class SelfScope {
  kProcess,  // the process alone; no freezer, as it cannot escape ptrace
  kTree,     // and all its descendants, which are frozen in one group
  kGroup,    // the tree in a group, of which it is any member
};

struct SelfDumpRequest {
  MailboxAddress asker;
  SelfScope scope = SelfScope::kProcess;
  // Without the number, which is added: NAME.NUMBER.
  std::string image;
  std::string cgroup;  // with kGroup; "": the asker's
  v1::Hierarchy hierarchy = v1::HIERARCHY_UNSPECIFIED;  // v2, then v1
  bool exit = false;                                    // end the job
  // Tell the process when it goes on, not only when the image is on the disk.
  bool early = false;
  uint32_t keep = 0;  // as many of the newest images; 0: all
  double timeout_seconds = kDefaultTimeoutSeconds;
  v1::CriuOptions criu;
  // All tasks must be this user's, now and while CRIU holds them.
  std::optional<uid_t> owner;
  // All tasks must be in the asker's PID namespace or below it, now and while
  // CRIU holds them.
  bool within = false;
  // Asked for by a service: the same call may come again while it is served.
  // Then this waits for the end of the other, and takes over if that was
  // killed.
  bool served = false;
};

// Whatever it returns is in the mailbox too, except where that is impossible:
//   NotFound         there is no such process
//   InvalidArgument  it has no mailbox at that place
//   Aborted          it does not wait any more
// Other errors as Dump(); FailedPrecondition also when this process belongs to
// the job's tree, or when there are processes that the scope does not allow;
// PermissionDenied when a task is not the owner's, or outside.
absl::StatusOr<v1::DumpReport> SelfDump(const SelfDumpRequest& request,
                                        const DumpEnvironment& environment);

// For who cannot even make up a request: leaves `why` in the mailbox.  Returns
// it, with what went wrong on the way.
absl::Status TellFailure(const MailboxAddress& asker, absl::Status why);

// The number of an image of `name`: NAME.NUMBER, both as paths.  0: it is none.
int64_t ImageNumber(absl::string_view path, absl::string_view name_path);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_SELF_H_
