// What must be true of a job before CRIU is let at it: the states in which CRIU
// hangs, kills the job or writes an image that is not whole.
//
// Each rule was seen with CRIU 4.1 and 4.2: docs/life_of_a_dump.md has the
// list.
#ifndef CKPT_CHECKPOINT_PREFLIGHT_H_
#define CKPT_CHECKPOINT_PREFLIGHT_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "base/clock.h"
#include "base/proc.h"
#include "checkpoint/job.h"
#include "checkpoint/job_survey.h"
#include "proto/check.pb.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::checkpoint {

// Everything that is in the way of a dump with those options, or worth telling:
// what follows below, JudgeJob(), JudgeSockets() and FindOutsidePipe().  Fills
// findings, usable and the counts.  `survey`: if not null, what was seen.
//   NotFound            the root is gone
//   FailedPrecondition  this process is of the tree
//   Cancelled           `cancel`, looked at between the steps, says so
absl::StatusOr<v1::CheckReport> Examine(const Job& job, ProcFs& proc,
                                        const v1::CriuOptions& options = {},
                                        JobSurvey* survey = nullptr,
                                        const Cancellation* cancel = nullptr);

// The same for a dump, before anything is touched.  FailedPrecondition names
// the task or group and says what to do; Unavailable (a task waits in vfork())
// says that it will pass; findings.h tells of the payload.  What may pass until
// the job is frozen does not count.  What does not refuse the dump becomes a
// warning of `dump`, if that is not null.
absl::Status Preflight(const Job& job, ProcFs& proc,
                       const v1::CriuOptions& options = {},
                       v1::DumpReport* dump = nullptr);

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
