#include "base/proc.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "run/job_control.h"
#include "run/job_registry.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<v1::JobListReport> List(const Arguments& arguments,
                                       const Context& context) {
  if (arguments.Has("node")) {
    CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
    return remote->ListJobs({}, context.cancel);
  }
  CKPT_ASSIGN_OR_RETURN(const auto jobs, run::JobRegistry::Default().List());
  v1::JobListReport report;
  for (const run::RegisteredJob& job : jobs) {
    *report.add_jobs() = run::DescribeJob(job, ProcFs::Real());
  }
  return report;
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  CKPT_ASSIGN_OR_RETURN(v1::JobListReport report, List(arguments, context));
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
          WithNodeFlag({}),
          &Run};
}

}  // namespace ckpt::cli
