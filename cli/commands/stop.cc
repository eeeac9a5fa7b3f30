#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/render.h"
#include "run/job_control.h"
#include "run/job_registry.h"

namespace ckpt::cli {
namespace {

constexpr double kTimeoutSeconds = 10;

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const std::string name,
                        arguments.OnlyPositional("JOB"));
  CKPT_ASSIGN_OR_RETURN(const double timeout,
                        arguments.Seconds("timeout", kTimeoutSeconds));
  CKPT_ASSIGN_OR_RETURN(const run::RegisteredJob job,
                        run::JobRegistry::Default().Find(name));
  CKPT_ASSIGN_OR_RETURN(
      v1::StopReport report,
      run::StopJob(job, absl::Seconds(timeout), Clock::Real(), context.cancel));
  std::string text = absl::StrCat(
      "job ", name,
      report.killed() ? " did not end in time, and was killed" : " has ended",
      "; ", Time(report.seconds()), "\n");
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command StopCommand() {
  return {"stop",
          "end a job of ckpt run",
          "JOB",
          "Sends SIGTERM as a batch system would, so that with --before-end an "
          "image is made.  What has not\nended after the timeout is killed.",
          "ckpt stop render",
          /*needs_root=*/true,
          {{"timeout", "D", "kill it after this long (10s)"}},
          &Run};
}

}  // namespace ckpt::cli
