#include "base/proc.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/render.h"
#include "run/job_control.h"
#include "run/job_registry.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<Output> Run(const Arguments& arguments, const Context&) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  CKPT_ASSIGN_OR_RETURN(const auto jobs, run::JobRegistry::Default().List());
  v1::JobListReport report;
  for (const run::RegisteredJob& job : jobs) {
    *report.add_jobs() = run::DescribeJob(job, ProcFs::Real());
  }
  std::string text = RenderJobs(report);
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command PsCommand() {
  return {"ps",
          "list the jobs that run under ckpt run",
          "",
          "With their states, processes, resident memory, and when their last "
          "checkpoint was and the next\none is due.",
          "ckpt ps",
          /*needs_root=*/true,
          {},
          &Run};
}

}  // namespace ckpt::cli
