// What others than its supervisor do with a job that runs under `ckpt run`.
//
//   CKPT_ASSIGN_OR_RETURN(const RegisteredJob job,
//                         JobRegistry::Default().Find("render"));
//   CKPT_RETURN_IF_ERROR(SuspendJob(job));
//
// Thread-safe.
#ifndef CKPT_RUN_JOB_CONTROL_H_
#define CKPT_RUN_JOB_CONTROL_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/cancellation.h"
#include "base/clock.h"
#include "base/proc.h"
#include "proto/run.pb.h"
#include "run/job_registry.h"

namespace ckpt::run {

// A job that ends meanwhile has no processes.
v1::JobStatus DescribeJob(const RegisteredJob& job, ProcFs& proc);

// Freezes or thaws the job, verified.  A suspended job takes part in
// checkpoints, and stays suspended after them.
// Errors as Frame::Suspend(); NotFound: it has ended.
absl::Status SuspendJob(const RegisteredJob& job);
absl::Status ResumeJob(const RegisteredJob& job);

// SIGKILL to all of the job.  Returns when its supervisor has ended as well:
// the name is free, and the next run goes on from the newest image.  A job
// without supervisor is ended, too, and `registry` forgets it.
//
// Any other signal goes to every process of the job once, as KillGroup() sends
// it; not to process 1, which would hand it on.
//   errors of KillGroup(); NotFound: it has ended
//   Unavailable: somebody else works on the group for long
//   DeadlineExceeded: the supervisor has not ended after `limit`
absl::StatusOr<v1::KillReport> KillJob(const JobRegistry& registry,
                                       const RegisteredJob& job, int signal,
                                       absl::Duration limit, Clock& clock,
                                       const Cancellation* cancel);

// SIGTERM to the supervisor, which hands it on or, with --before-end, makes an
// image; after `limit`, SIGKILL to the job.  Returns when the supervisor has
// ended.
//   FailedPrecondition: the job has no supervisor
//   Cancelled; DeadlineExceeded: it does not end even so
absl::StatusOr<v1::StopReport> StopJob(const RegisteredJob& job,
                                       absl::Duration limit, Clock& clock,
                                       const Cancellation* cancel);

}  // namespace ckpt::run

#endif  // CKPT_RUN_JOB_CONTROL_H_
