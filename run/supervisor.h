// One run of a job: from its newest whole image, or afresh; until it ends or
// stands in an image.
//
//   CKPT_ASSIGN_OR_RETURN(
//       v1::RunReport report,
//       Supervise({.name = "render", .argv = {"render", "scene"}},
//                 {.store = &store, .criu = path, .tell = ...}));
//   return report.exit_status();
//
// The calling process becomes the job's parent in every sense: it reaps it,
// forwards signals to it, and shows what it prints.  When it is killed, a
// guardian ends the job: a batch system that starts the same line again, here
// or on another node, never has two of it.
//
// Signals are taken from the whole process, and blocked from the call on: it
// is for a program that does nothing else.
#ifndef CKPT_RUN_SUPERVISOR_H_
#define CKPT_RUN_SUPERVISOR_H_

#include "absl/status/statusor.h"
#include "proto/run.pb.h"
#include "run/run_options.h"

namespace ckpt::run {

// Errors are those of a job that was not started, or could not be looked after;
// nothing of it runs then:
//   InvalidArgument     the options
//   AlreadyExists       a job of that name runs
//   NotFound            no such program
//   FailedPrecondition  its newest image is of another command, or cannot be
//                       restored on this node; or a hook is against it
//   errors of Restore() and Launch()
absl::StatusOr<v1::RunReport> Supervise(const RunOptions& options,
                                        const RunEnvironment& environment);

}  // namespace ckpt::run

#endif  // CKPT_RUN_SUPERVISOR_H_
