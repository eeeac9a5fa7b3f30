#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "freezer/cgroup.h"
#include "freezer/state_watch.h"

namespace ckpt::cli {
namespace {

// What --until waits for.
struct Goal {
  bool given = false;
  bool removed = false;
  v1::FreezerState state = v1::FREEZER_STATE_UNSPECIFIED;
};

absl::StatusOr<Goal> GoalFlag(const Arguments& arguments) {
  Goal goal;
  if (!arguments.Has("until")) return goal;
  goal.given = true;
  const std::string word = absl::AsciiStrToUpper(arguments.Get("until"));
  goal.removed = word == "REMOVED";
  for (const v1::FreezerState state :
       {v1::FREEZER_STATE_THAWED, v1::FREEZER_STATE_FREEZING,
        v1::FREEZER_STATE_FROZEN}) {
    if (word == StateWord(state)) goal.state = state;
  }
  if (goal.removed || goal.state != v1::FREEZER_STATE_UNSPECIFIED) return goal;
  return absl::InvalidArgumentError(
      absl::StrCat("--until '", arguments.Get("until"),
                   "' is none of THAWED, FREEZING, FROZEN, REMOVED"));
}

absl::StatusOr<std::unique_ptr<freezer::StateWatch>> StartWatch(
    const Arguments& arguments) {
  CKPT_ASSIGN_OR_RETURN(auto groups, GroupsFlag(arguments));
  return freezer::StateWatch::Start(std::move(groups));
}

bool IsReached(const Goal& goal, const freezer::StateWatch& watch) {
  if (goal.removed) return watch.AllRemoved();
  return goal.given && watch.AllIn(goal.state);
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  CKPT_ASSIGN_OR_RETURN(const Goal goal, GoalFlag(arguments));
  CKPT_ASSIGN_OR_RETURN(const double seconds, arguments.Seconds("for", 0));
  const absl::Time deadline = arguments.Has("for")
                                  ? Clock::Real().Now() + absl::Seconds(seconds)
                                  : absl::InfiniteFuture();
  CKPT_ASSIGN_OR_RETURN(const auto watch, StartWatch(arguments));
  while (true) {
    const auto events = watch->Wait(deadline, context.cancel);
    if (absl::IsCancelled(events.status())) return Output();
    CKPT_RETURN_IF_ERROR(events.status());
    for (const v1::WatchEvent& event : *events) {
      CKPT_RETURN_IF_ERROR(context.emit(event, RenderWatchEvent(event)));
    }
    if (IsReached(goal, *watch)) return Output();
    if (watch->AllRemoved()) {
      if (!goal.given) return Output();
      return absl::AbortedError(absl::StrCat(
          "there is no group left that could become ", arguments.Get("until")));
    }
    // Events without a pause must not outlast --for.
    if (Clock::Real().Now() >= deadline) {
      if (!goal.given) return Output();
      return absl::DeadlineExceededError(
          absl::StrCat("not ", arguments.Get("until"), " within ",
                       arguments.Get("for"), "; nothing was touched"));
    }
  }
}

}  // namespace

Command WatchCommand() {
  return {
      "watch",
      "print the state changes of cgroups as they happen",
      "",
      "Begins with the present state.  A line tells of each change of the "
      "effective state, of the own\nrequest, or of the ancestor that freezes, "
      "and of each write to the files that do so, with the\nwriter where the "
      "kernel tells (to root).  Ends on Ctrl-C, or as told; with --json, one "
      "object a line.",
      "ckpt watch --cgroup job1 --until FROZEN --for 10m",
      /*needs_root=*/false,
      WithGroupFlags({{"for", "D", "end after this long"},
                      {"until", "STATE",
                       "end when all groups that are left are THAWED, FREEZING "
                       "or FROZEN, or all are REMOVED; exit status 4 if --for "
                       "passes before"}},
                     /*several=*/true),
      &Run};
}

}  // namespace ckpt::cli
