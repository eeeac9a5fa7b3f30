#include "base/status.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/proc.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "freezer/freezer.h"
#include "freezer/group_status.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<v1::CgroupStatus> Describe(freezer::Cgroup& group) {
  freezer::Freezer freezer(group, ProcFs::Real(), Clock::Real());
  return freezer::DescribeGroup(freezer, /*with_tasks=*/true);
}

Output DescribeSeveral(
    const std::vector<std::unique_ptr<freezer::Cgroup>>& groups) {
  v1::StatusSetReport report;
  absl::Status verdict;
  for (const auto& group : groups) {
    v1::StatusSetEntry& entry = *report.add_groups();
    entry.set_cgroup(group->path());
    const auto status = Describe(*group);
    if (status.ok()) {
      *entry.mutable_status() = *status;
      continue;
    }
    entry.set_code(static_cast<int>(status.status().code()));
    entry.set_error(std::string(status.status().message()));
    if (verdict.ok()) verdict = status.status();
  }
  std::string text = RenderStatusSet(report);
  Output output = MakeOutput(std::move(report), std::move(text));
  output.verdict = std::move(verdict);
  return output;
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context&) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  CKPT_ASSIGN_OR_RETURN(const auto groups, GroupsFlag(arguments));
  if (groups.size() > 1) return DescribeSeveral(groups);
  CKPT_ASSIGN_OR_RETURN(v1::CgroupStatus status, Describe(*groups[0]));
  std::string text = RenderStatus(status);
  return MakeOutput(std::move(status), std::move(text));
}

}  // namespace

Command StatusCommand() {
  return {"status",
          "show the freezer state and the tasks of cgroups",
          "",
          "The state is the effective one: THAWED, FREEZING or FROZEN, by the "
          "group's own request or by\nan ancestor's, which is named; "
          "CHECKPOINTING while a dump holds the group.  Who works on it is\n"
          "shown, and when its lease ends.",
          "ckpt status --cgroup job1",
          /*needs_root=*/false,
          WithGroupFlags({}, /*several=*/true),
          &Run};
}

}  // namespace ckpt::cli
