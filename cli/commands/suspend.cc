#include "base/proc.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "proto/agent.pb.h"
#include "rpc/client.h"
#include "run/job_control.h"
#include "run/job_registry.h"

namespace ckpt::cli {
namespace {

using ChangeHere = absl::Status (*)(const run::RegisteredJob& job);
using ChangeThere = absl::StatusOr<v1::JobListReport> (rpc::Client::*)(
    const v1::JobRequest& request, const Cancellation* cancel);

absl::StatusOr<v1::JobListReport> Changed(const Arguments& arguments,
                                          const Context& context,
                                          ChangeHere here, ChangeThere there) {
  v1::JobRequest request;
  CKPT_ASSIGN_OR_RETURN(*request.mutable_name(),
                        arguments.OnlyPositional("JOB"));
  if (arguments.Has("node")) {
    CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
    return ((*remote).*there)(request, context.cancel);
  }
  CKPT_ASSIGN_OR_RETURN(const run::RegisteredJob job,
                        run::JobRegistry::Default().Find(request.name()));
  CKPT_RETURN_IF_ERROR(here(job));
  v1::JobListReport report;
  *report.add_jobs() = run::DescribeJob(job, ProcFs::Real());
  return report;
}

// The job of the one positional, after the change.
absl::StatusOr<Output> Change(const Arguments& arguments,
                              const Context& context, ChangeHere here,
                              ChangeThere there) {
  CKPT_ASSIGN_OR_RETURN(v1::JobListReport report,
                        Changed(arguments, context, here, there));
  std::string text = RenderJobs(report);
  return MakeOutput(std::move(report), std::move(text));
}

absl::StatusOr<Output> Suspend(const Arguments& arguments,
                               const Context& context) {
  return Change(arguments, context, &run::SuspendJob, &rpc::Client::SuspendJob);
}

absl::StatusOr<Output> Resume(const Arguments& arguments,
                              const Context& context) {
  return Change(arguments, context, &run::ResumeJob, &rpc::Client::ResumeJob);
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
          WithNodeFlag({}),
          &Suspend};
}

Command ResumeCommand() {
  return {"resume",
          "let a suspended job of ckpt run go on",
          "JOB",
          "",
          "ckpt resume render",
          /*needs_root=*/true,
          WithNodeFlag({}),
          &Resume};
}

}  // namespace ckpt::cli
