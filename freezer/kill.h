// Signals every process of a cgroup and of the groups below it, with none
// missed while it forks.
#ifndef CKPT_FREEZER_KILL_H_
#define CKPT_FREEZER_KILL_H_

#include <sys/types.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/cancellation.h"
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

struct KillOptions {
  absl::Time deadline = absl::InfiniteFuture();  // on the Freezer's clock
  const Cancellation* cancel = nullptr;          // borrowed for the call
  // A process that gets no signal and is not counted; SIGKILL spares nobody.
  pid_t spared = 0;
};

// The group is frozen, so that nobody forks; each process, of the groups below
// too, is signalled once and counted; and the group is given back as it was.
//
// SIGKILL: v2 kills by one write to cgroup.kill; a v1-frozen task dies only
// when thawed, so the group is thawed whatever it was.  For the freeze there is
// half a second.  If it cannot be had, all are signalled until nobody is left,
// and the count is of those seen.  Returns when the group is empty.
//
//   FailedPrecondition  the root group; a group that holds the caller; a v2
//                       group of threads; SIGKILL to a v1 group that an
//                       ancestor keeps frozen
//   DeadlineExceeded    tasks are left at `deadline`
//   Cancelled           before the signals, or while waiting for the end
//   PermissionDenied    some may not be signalled; all others were, and the
//                       message counts both
//   errors of Freeze()  nothing was sent (of SIGKILL: NotFound alone)
absl::StatusOr<v1::KillReport> KillGroup(
    Freezer& freezer, int signal, const KillOptions& options,
    Signaller& signaller = Signaller::Real());

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_KILL_H_
