#include "base/clock.h"
#include "base/proc.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "freezer/freezer.h"
#include "freezer/verify.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<Output> Run(const Arguments& arguments, const Context&) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  freezer::TreeOptions options;
  CKPT_ASSIGN_OR_RETURN(options.root, arguments.Number("tree"));
  CKPT_ASSIGN_OR_RETURN(options.except, arguments.Number("except"));
  options.subtree = arguments.Has("subtree");
  if (options.root <= 0) {
    return absl::InvalidArgumentError(
        "name the root process of the tree: --tree PID");
  }
  CKPT_ASSIGN_OR_RETURN(const auto group, GroupFlag(arguments));
  if (group->is_root()) {
    return absl::FailedPreconditionError(
        absl::StrCat("cgroup ", group->path(),
                     " is the root of its hierarchy, which is never frozen"));
  }
  freezer::Freezer freezer(*group, ProcFs::Real(), Clock::Real());
  CKPT_ASSIGN_OR_RETURN(
      v1::VerifyFreezeReport report,
      freezer::VerifyFreeze(freezer, ProcFs::Real(), options));
  std::string text = RenderVerifyFreeze(report);
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command VerifyFreezeCommand() {
  return {"verify-freeze",
          "tell whether a checkpoint would be legal now",
          "",
          "It is when every task of the process tree, and no other, is in one "
          "and the same group, and that\ngroup is frozen, by whomever.  Tasks "
          "in the way are named; nothing is changed.  The exit status\nis 0 "
          "when it is legal, 9 when it is not, 10 when the tasks or the state "
          "changed meanwhile.",
          "ckpt verify-freeze --cgroup job1 --tree 4711",
          /*needs_root=*/true,
          WithGroupFlags(
              {{"tree", "PID", "root of the process tree"},
               {"except", "PID",
                "a process of the tree that does not count: the one that asks "
                "for the checkpoint"},
               {"subtree", "", "groups below the group are the same freeze"}}),
          &Run};
}

}  // namespace ckpt::cli
