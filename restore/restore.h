// One restore of an image into a cgroup.
//
//   CKPT_ASSIGN_OR_RETURN(v1::RestoreReport report,
//                         Restore(request, {.store = &store, .criu = path}));
//
// The image is verified bit by bit before any process exists.  CRIU is started
// inside the target group, so that the tasks are born there; at its
// post-restore notification, with all tasks built and none running, they are
// counted, and only then released, or left frozen, never having run.
//
// On failure nothing runs: every process in the target group (which must be
// empty before) is killed, and the group removed if it was made here.  That
// also holds when this process is killed before the release.
#ifndef CKPT_RESTORE_RESTORE_H_
#define CKPT_RESTORE_RESTORE_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "proto/checkpoint.pb.h"
#include "store/image_store.h"

namespace ckpt::restore {

inline constexpr double kDefaultTimeoutSeconds = 120;

struct HeldRestore {
  int criu_pidfd = -1;  // readable when CRIU has died, and the tasks with it
  // Stays when the job was let go, until criu::RemoveLog(): it alone tells
  // whether the job was (criu::ShowsRelease()), if this process is killed.
  std::string criu_log;
};

struct RestoreEnvironment {
  const ImageStore* store = nullptr;     // borrowed for the call
  std::string criu;                      // path of the binary
  const Cancellation* cancel = nullptr;  // borrowed for the call; may be null
  // If set: called when all tasks are built, in their groups, and none has run;
  // they are held until it returns.  OK lets them go, an error kills them, and
  // so does the death of this process.
  std::function<absl::Status(const HeldRestore& held)> hold = nullptr;
  // If set: called as the restore gets into each phase.
  std::function<void(v1::Phase phase)> on_phase = nullptr;
};

// Errors:
//   InvalidArgument     the request
//   NotFound            no such image
//   DataLoss            the image is damaged (the file is named)
//   FailedPrecondition  this node cannot restore it: a pid is taken, a file
//                       differs, the group is not empty or is frozen, the CPU;
//                       or ckpt is process 1, whose end would be the job's
//   Unavailable         the group is in use, or did not freeze (--frozen)
//   DeadlineExceeded, Cancelled, ResourceExhausted, Internal
absl::StatusOr<v1::RestoreReport> Restore(
    const v1::RestoreRequest& request, const RestoreEnvironment& environment);

}  // namespace ckpt::restore

#endif  // CKPT_RESTORE_RESTORE_H_
