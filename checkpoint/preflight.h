// What must be true of a job before CRIU is let at it: the states in which CRIU
// hangs, kills the job or writes an image that is not whole.
//
// Each rule was seen with CRIU 4.1 and 4.2: docs/life_of_a_dump.md has the
// list.
#ifndef CKPT_CHECKPOINT_PREFLIGHT_H_
#define CKPT_CHECKPOINT_PREFLIGHT_H_

#include <sys/types.h>

#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/proc.h"
#include "checkpoint/job.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::checkpoint {

// Before anything is touched: everything below, and CheckPipes().
// FailedPrecondition names the task or group and says what to do; Unavailable
// (a task waits in vfork()) says that it will pass.
absl::Status Preflight(const Job& job, ProcFs& proc,
                       const v1::CriuOptions& options = {});

// The part that can change until the job is frozen: no task is stopped by job
// control, traced from outside, waiting in vfork(), or a zombie root.  Run
// again while it is frozen, with a clock: its tasks may yet be on their way
// into the wait that they are frozen in, and are awaited.
absl::Status CheckTasks(ProcFs& proc, const std::vector<pid_t>& tree,
                        Clock* frozen = nullptr);

// No freezer of any hierarchy but `job.group`'s own request holds the tasks:
// neither an ancestor, nor a group below, nor the other hierarchy.
absl::Status CheckOtherFreezers(const Job& job, ProcFs& proc,
                                const std::vector<pid_t>& tree);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_PREFLIGHT_H_
