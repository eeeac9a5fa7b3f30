#include "freezer/kill.h"

#include <signal.h>

#include <cstddef>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "freezer/freezer.h"
#include "freezer/group_lease.h"
#include "freezer/group_set.h"
#include "freezer/guarded_groups.h"
#include "run/job_control.h"
#include "run/job_registry.h"

namespace ckpt::cli {
namespace {

constexpr double kTimeoutSeconds = 10;

// A group that was emptied by SIGKILL is thawed; its lease is over.
void EndLeaseOfEmpty(const v1::KillReport& report, freezer::Freezer& freezer) {
  if (report.empty() && report.signal() == SIGKILL) {
    freezer::EndLease(freezer.group());
  }
}

absl::StatusOr<Output> KillNamedJob(const Arguments& arguments, int signal,
                                    double timeout, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const std::string name,
                        arguments.OnlyPositional("JOB"));
  if (arguments.Has("cgroup") || arguments.Has("freezer")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "name the job ", name, ", or groups with --cgroup, not both"));
  }
  run::JobRegistry& registry = run::JobRegistry::Default();
  CKPT_ASSIGN_OR_RETURN(const run::RegisteredJob job, registry.Find(name));
  CKPT_ASSIGN_OR_RETURN(
      v1::KillReport report,
      run::KillJob(registry, job, signal, absl::Seconds(timeout), Clock::Real(),
                   context.cancel));
  std::string text = RenderKill(report);
  return MakeOutput(std::move(report), std::move(text));
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  int signal = SIGKILL;
  if (arguments.Has("signal")) {
    CKPT_ASSIGN_OR_RETURN(signal,
                          SignalNumber("signal", arguments.Get("signal")));
  }
  CKPT_ASSIGN_OR_RETURN(const double timeout,
                        arguments.Seconds("timeout", kTimeoutSeconds));
  RecoverFirst();
  if (!arguments.positional().empty()) {
    return KillNamedJob(arguments, signal, timeout, context);
  }
  CKPT_ASSIGN_OR_RETURN(auto groups, GroupsFlag(arguments));
  const bool several = groups.size() > 1;
  freezer::GuardedGroups::Options guard;
  guard.skip_refused = several;
  if (signal == SIGKILL) {
    // Killed tasks leave a v1 group only when it is thawed, whatever it was.
    guard.hold.give_back_frozen = false;
    guard.hold.needs_journal = false;
  }
  CKPT_ASSIGN_OR_RETURN(auto guarded,
                        freezer::GuardedGroups::Take(std::move(groups), guard));
  const freezer::KillOptions options = {
      .deadline = Clock::Real().Now() + absl::Seconds(timeout),
      .cancel = context.cancel};
  if (several) {
    v1::KillSetReport report = freezer::KillAll(*guarded, signal, options);
    for (int i = 0; i < report.groups_size(); ++i) {
      EndLeaseOfEmpty(report.groups(i).report(),
                      guarded->freezer(static_cast<size_t>(i)));
    }
    std::string text = RenderKillSet(report);
    absl::Status verdict = freezer::FirstError(report);
    Output output = MakeOutput(std::move(report), std::move(text));
    output.verdict = std::move(verdict);
    return output;
  }
  auto report = freezer::KillGroup(guarded->freezer(0), signal, options);
  if (!report.ok()) {
    return AppendError(report.status(), "guardian", guarded->Release());
  }
  EndLeaseOfEmpty(*report, guarded->freezer(0));
  CKPT_RETURN_IF_ERROR(guarded->Release());
  std::string text = RenderKill(*report);
  return MakeOutput(*std::move(report), std::move(text));
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
          WithGroupFlags({{"signal", "S", "name or number (KILL)"},
                          {"timeout", "D", "give up after this long (10s)"}},
                         /*several=*/true),
          &Run};
}

}  // namespace ckpt::cli
