#include "freezer/recover.h"

#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "freezer/journal.h"
#include "proto/agent.pb.h"

namespace ckpt::cli {
namespace {

// What is left over is an error that can be tried again.
absl::Status Verdict(const v1::RecoverReport& report) {
  for (const v1::RecoveredGroup& group : report.groups()) {
    if (!group.problem().empty()) {
      return absl::UnavailableError(group.problem());
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::RecoverReport> Recover(const Arguments& arguments,
                                          const Context& context) {
  v1::RecoverRequest request;
  request.set_dry_run(arguments.Has("dry-run"));
  if (!arguments.Has("node")) {
    return freezer::Recover(freezer::Journal::Default(),
                            {.dry_run = request.dry_run()});
  }
  CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
  return remote->Recover(request, context.cancel);
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  CKPT_ASSIGN_OR_RETURN(v1::RecoverReport report, Recover(arguments, context));
  std::string text = RenderRecover(report, arguments.Has("dry-run"));
  absl::Status verdict = Verdict(report);
  Output output = MakeOutput(std::move(report), std::move(text));
  output.verdict = std::move(verdict);
  return output;
}

}  // namespace

Command RecoverCommand() {
  return {"recover",
          "give back the groups that killed ckpts have left",
          "",
          "A guardian gives a group back when ckpt is killed.  This does where "
          "the guardian was killed, too:\nit finds such groups in the journal "
          "and gives them the state that they had before.  Groups\nthat a "
          "ckpt works on are left alone.  freeze, thaw, kill, dump and restore "
          "do the same first.",
          "ckpt recover --dry-run",
          /*needs_root=*/true,
          WithNodeFlag(
              {{"dry-run", "", "tell what would be done, and change nothing"}}),
          &Run};
}

}  // namespace ckpt::cli
