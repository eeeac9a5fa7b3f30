#include "base/clock.h"
#include "base/proc.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "freezer/freezer.h"
#include "freezer/group_hold.h"
#include "freezer/group_lease.h"

namespace ckpt::cli {
namespace {

constexpr double kTimeoutSeconds = 10;

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  CKPT_ASSIGN_OR_RETURN(const double timeout,
                        arguments.Seconds("timeout", kTimeoutSeconds));
  RecoverFirst();
  CKPT_ASSIGN_OR_RETURN(const auto group, GroupFlag(arguments));
  // One that is cut short is completed: nothing is ever frozen by a thaw.
  CKPT_ASSIGN_OR_RETURN(
      const auto hold,
      freezer::GroupHold::Take(*group, {.purpose = v1::HOLD_PURPOSE_FREEZE,
                                        .give_back_frozen = false,
                                        .needs_journal = false}));
  Clock& clock = Clock::Real();
  freezer::Freezer freezer(*group, ProcFs::Real(), clock);
  auto thawed = freezer.Thaw({.deadline = clock.Now() + absl::Seconds(timeout),
                              .cancel = context.cancel});
  // Whatever became of its tasks, its own request is taken back.
  if (!absl::IsNotFound(thawed.status())) freezer::EndLease(*group);
  CKPT_ASSIGN_OR_RETURN(v1::FreezeReport report, std::move(thawed));
  std::string text = RenderFreeze(report);
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command ThawCommand() {
  return {"thaw",
          "thaw a cgroup",
          "",
          "Takes back the group's own request and returns when its tasks run.  "
          "If an ancestor keeps the\ngroup frozen, that one is named.  A group "
          "that a checkpoint holds is not thawed.",
          "ckpt thaw --cgroup job1",
          /*needs_root=*/true,
          WithGroupFlags({{"timeout", "D", "give up after this long (10s)"}}),
          &Run};
}

}  // namespace ckpt::cli
