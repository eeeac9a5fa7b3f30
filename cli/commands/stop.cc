#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "proto/agent.pb.h"
#include "run/job_control.h"
#include "run/job_registry.h"

namespace ckpt::cli {
namespace {

constexpr double kTimeoutSeconds = 10;

absl::StatusOr<v1::StopReport> Stop(const Arguments& arguments,
                                    const Context& context) {
  v1::StopJobRequest request;
  CKPT_ASSIGN_OR_RETURN(*request.mutable_name(),
                        arguments.OnlyPositional("JOB"));
  CKPT_ASSIGN_OR_RETURN(const double timeout,
                        arguments.Seconds("timeout", kTimeoutSeconds));
  request.set_timeout_seconds(timeout);
  if (arguments.Has("node")) {
    CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
    return remote->StopJob(request, context.cancel);
  }
  CKPT_ASSIGN_OR_RETURN(const run::RegisteredJob job,
                        run::JobRegistry::Default().Find(request.name()));
  return run::StopJob(job, absl::Seconds(timeout), Clock::Real(),
                      context.cancel);
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(v1::StopReport report, Stop(arguments, context));
  std::string text = absl::StrCat(
      "job ", report.name(),
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
          WithNodeFlag({{"timeout", "D", "kill it after this long (10s)"}}),
          &Run};
}

}  // namespace ckpt::cli
