#include <signal.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "node/groups.h"
#include "run/job_control.h"
#include "run/job_registry.h"

namespace ckpt::cli {
namespace {

// Signal and timeout: what jobs and groups have in common.
absl::StatusOr<v1::KillRequest> ParseCommon(const Arguments& arguments) {
  v1::KillRequest request;
  request.set_signal(SIGKILL);
  if (arguments.Has("signal")) {
    CKPT_ASSIGN_OR_RETURN(const int signal,
                          SignalNumber("signal", arguments.Get("signal")));
    request.set_signal(signal);
  }
  CKPT_ASSIGN_OR_RETURN(
      const double timeout,
      arguments.Seconds("timeout", node::kDefaultTimeoutSeconds));
  request.set_timeout_seconds(timeout);
  return request;
}

Output Describe(v1::KillResponse response) {
  absl::Status verdict = node::Verdict(response);
  if (response.has_one()) {
    std::string text = RenderKill(response.one());
    return MakeOutput(std::move(*response.mutable_one()), std::move(text));
  }
  std::string text = RenderKillSet(response.several());
  Output output =
      MakeOutput(std::move(*response.mutable_several()), std::move(text));
  output.verdict = std::move(verdict);
  return output;
}

absl::StatusOr<Output> KillNamedJob(const Arguments& arguments,
                                    const v1::KillRequest& request,
                                    const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const std::string name,
                        arguments.OnlyPositional("JOB"));
  if (arguments.Has("cgroup") || arguments.Has("freezer")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "name the job ", name, ", or groups with --cgroup, not both"));
  }
  if (arguments.Has("node")) {
    v1::KillJobRequest there;
    there.set_name(name);
    there.set_signal(request.signal());
    there.set_timeout_seconds(request.timeout_seconds());
    CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
    CKPT_ASSIGN_OR_RETURN(v1::KillReport report,
                          remote->KillJob(there, context.cancel));
    std::string text = RenderKill(report);
    return MakeOutput(std::move(report), std::move(text));
  }
  RecoverFirst();
  run::JobRegistry& registry = run::JobRegistry::Default();
  CKPT_ASSIGN_OR_RETURN(const run::RegisteredJob job, registry.Find(name));
  CKPT_ASSIGN_OR_RETURN(v1::KillReport report,
                        run::KillJob(registry, job, request.signal(),
                                     absl::Seconds(request.timeout_seconds()),
                                     Clock::Real(), context.cancel));
  std::string text = RenderKill(report);
  return MakeOutput(std::move(report), std::move(text));
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(v1::KillRequest request, ParseCommon(arguments));
  if (!arguments.positional().empty()) {
    return KillNamedJob(arguments, request, context);
  }
  CKPT_RETURN_IF_ERROR(SetGroups(arguments, request));
  if (arguments.Has("node")) {
    CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
    CKPT_ASSIGN_OR_RETURN(v1::KillResponse response,
                          remote->Kill(request, context.cancel));
    return Describe(std::move(response));
  }
  RecoverFirst();
  CKPT_ASSIGN_OR_RETURN(v1::KillResponse response,
                        node::Kill(request, context.cancel));
  return Describe(std::move(response));
}

}  // namespace

Command KillCommand() {
  return {"kill",
          "signal every process of a job or of cgroups, with none missed",
          "[JOB]",
          "Of the job of ckpt run, or of the groups that --cgroup names.\n"
          "SIGKILL also ends frozen tasks, and returns when the group is "
          "empty.  Any other signal is sent\nto every process exactly once, "
          "while the group is frozen for a moment.",
          "ckpt kill --cgroup job1 --signal TERM",
          /*needs_root=*/true,
          WithNodeFlag(WithGroupFlags(
              {{"signal", "S", "name or number (KILL)"},
               {"timeout", "D", "give up after this long (10s)"}},
              /*several=*/true)),
          &Run};
}

}  // namespace ckpt::cli
