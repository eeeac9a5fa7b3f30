#include "base/status.h"

#include "base/clock.h"
#include "base/proc.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "freezer/freezer.h"
#include "freezer/group_status.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<Output> Run(const Arguments& arguments, const Context&) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  CKPT_ASSIGN_OR_RETURN(const auto group, GroupFlag(arguments));
  freezer::Freezer freezer(*group, ProcFs::Real(), Clock::Real());
  CKPT_ASSIGN_OR_RETURN(v1::CgroupStatus status,
                        freezer::DescribeGroup(freezer, /*with_tasks=*/true));
  std::string text = RenderStatus(status);
  return MakeOutput(std::move(status), std::move(text));
}

}  // namespace

Command StatusCommand() {
  return {"status",
          "show a cgroup's freezer state and tasks",
          "",
          "The state is the effective one: THAWED, FREEZING or FROZEN, by the "
          "group's own request or by\nan ancestor's, which is named; "
          "CHECKPOINTING while a dump holds the group.  Who works on it is\n"
          "shown, and when its lease ends.",
          "ckpt status --cgroup job1",
          /*needs_root=*/false,
          WithGroupFlags({}),
          &Run};
}

}  // namespace ckpt::cli
