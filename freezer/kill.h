// Signals every process of a cgroup and of the groups below it, with none
// missed while it forks.
#ifndef CKPT_FREEZER_KILL_H_
#define CKPT_FREEZER_KILL_H_

#include <sys/types.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "freezer/freezer.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

// How signals are sent: a seam, as FakeKernel's processes are none of Linux.
class Signaller {
 public:
  virtual ~Signaller() = default;
  // NotFound when the process is gone, PermissionDenied.
  virtual absl::Status Send(pid_t pid, int signal) = 0;

  // kill(2); never destroyed.
  static Signaller& Real();
};

// SIGKILL: v2 by cgroup.kill (one write, forks included); v1 by freezing,
// signalling all and thawing, the groups below too, as a v1-frozen task dies
// only when thawed; where the freeze cannot be had, by signalling until nobody
// is left.  Then waits until the group is empty.
//
// Another signal: the group is frozen, every process is signalled once, and the
// group is given back as it was.
//
//   FailedPrecondition  the root group; a group that holds the caller; SIGKILL
//                       to a v1 group that an ancestor keeps frozen
//   DeadlineExceeded    tasks are left at `deadline`
//   errors of Freeze()  (of SIGKILL: NotFound alone)
absl::StatusOr<v1::KillReport> KillGroup(
    Freezer& freezer, int signal, absl::Time deadline,
    Signaller& signaller = Signaller::Real());

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_KILL_H_
