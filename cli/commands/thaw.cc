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

namespace ckpt::cli {
namespace {

constexpr double kTimeoutSeconds = 10;

// A lease has nothing left to do once the own request is taken back.
void EndLeases(freezer::GuardedGroups& groups) {
  for (size_t i = 0; i < groups.size(); ++i) {
    freezer::Freezer& freezer = groups.freezer(i);
    if (!groups.taken(i).ok()) continue;
    const auto status = freezer.GetStatus(/*with_tasks=*/false);
    if (status.ok() && !status->self_freezing()) {
      freezer::EndLease(freezer.group());
    }
  }
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  CKPT_ASSIGN_OR_RETURN(const double timeout,
                        arguments.Seconds("timeout", kTimeoutSeconds));
  freezer::SetOptions options;
  options.all_or_nothing = arguments.Has("all-or-nothing");
  options.each.cancel = context.cancel;
  RecoverFirst();
  CKPT_ASSIGN_OR_RETURN(auto groups, GroupsFlag(arguments));
  const bool several = groups.size() > 1;
  freezer::GuardedGroups::Options guard;
  guard.skip_refused = several && !options.all_or_nothing;
  // A thaw that is cut short is completed: nothing is ever frozen by it.
  guard.hold.needs_journal = options.all_or_nothing;
  if (!options.all_or_nothing) guard.hold.give_back_frozen = false;
  CKPT_ASSIGN_OR_RETURN(auto guarded,
                        freezer::GuardedGroups::Take(std::move(groups), guard));
  options.each.deadline = Clock::Real().Now() + absl::Seconds(timeout);
  if (several) {
    v1::FreezeSetReport report = freezer::ThawAll(*guarded, options);
    EndLeases(*guarded);
    std::string text = RenderFreezeSet(report);
    absl::Status verdict = freezer::FirstError(report);
    Output output = MakeOutput(std::move(report), std::move(text));
    output.verdict = std::move(verdict);
    return output;
  }
  auto report = guarded->freezer(0).Thaw(options.each);
  EndLeases(*guarded);
  CKPT_RETURN_IF_ERROR(report.status());
  std::string text = RenderFreeze(*report);
  return MakeOutput(*std::move(report), std::move(text));
}

}  // namespace

Command ThawCommand() {
  return {
      "thaw",
      "thaw cgroups",
      "",
      "Takes back the group's own request and returns when its tasks run.  "
      "If an ancestor keeps the\ngroup frozen, that one is named.  A group "
      "that a checkpoint holds is not thawed.  Several groups are thawed at "
      "the same time and reported\ntogether.",
      "ckpt thaw --cgroup job1",
      /*needs_root=*/true,
      WithGroupFlags({{"timeout", "D", "give up after this long (10s)"},
                      {"all-or-nothing", "",
                       "of several groups: if one fails, freeze all again "
                       "that were frozen"}},
                     /*several=*/true),
      &Run};
}

}  // namespace ckpt::cli
