#include "base/proc.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/render.h"
#include "run/job_control.h"
#include "run/job_registry.h"

namespace ckpt::cli {
namespace {

// The job of the one positional, after `change`.
absl::StatusOr<Output> Change(
    const Arguments& arguments,
    absl::Status (*change)(const run::RegisteredJob& job)) {
  CKPT_ASSIGN_OR_RETURN(const std::string name,
                        arguments.OnlyPositional("JOB"));
  CKPT_ASSIGN_OR_RETURN(const run::RegisteredJob job,
                        run::JobRegistry::Default().Find(name));
  CKPT_RETURN_IF_ERROR(change(job));
  v1::JobListReport report;
  *report.add_jobs() = run::DescribeJob(job, ProcFs::Real());
  std::string text = RenderJobs(report);
  return MakeOutput(std::move(report), std::move(text));
}

absl::StatusOr<Output> Suspend(const Arguments& arguments, const Context&) {
  return Change(arguments, &run::SuspendJob);
}

absl::StatusOr<Output> Resume(const Arguments& arguments, const Context&) {
  return Change(arguments, &run::ResumeJob);
}

}  // namespace

Command SuspendCommand() {
  return {"suspend",
          "freeze a job of ckpt run",
          "JOB",
          "Returns when all of it is frozen.  Checkpoints go on, and leave it "
          "suspended.",
          "ckpt suspend render",
          /*needs_root=*/true,
          {},
          &Suspend};
}

Command ResumeCommand() {
  return {"resume",
          "let a suspended job of ckpt run go on",
          "JOB",
          "",
          "ckpt resume render",
          /*needs_root=*/true,
          {},
          &Resume};
}

}  // namespace ckpt::cli
