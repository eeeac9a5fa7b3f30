#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "checkpoint/dump.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/operation_printer.h"
#include "cli/remote_operation.h"
#include "cli/render.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<v1::MigrateRequest> ParseRequest(const Arguments& arguments) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  v1::MigrateRequest request;
  if (!arguments.Has("cgroup")) {
    return absl::InvalidArgumentError("name the job's group: --cgroup X");
  }
  if (!arguments.Has("to")) {
    return absl::InvalidArgumentError(
        "name the node that the job is to go to: --to HOST:PORT");
  }
  request.set_cgroup(arguments.Get("cgroup"));
  CKPT_ASSIGN_OR_RETURN(const v1::Hierarchy hierarchy,
                        HierarchyFlag(arguments));
  request.set_hierarchy(hierarchy);
  request.set_subtree(arguments.Has("subtree"));
  request.set_to(arguments.Get("to"));
  request.set_image(arguments.Get("name"));
  request.set_to_cgroup(arguments.Get("to-cgroup"));
  request.set_pause_before_switchover(arguments.Has("pause-before-switchover"));
  request.set_keep_image(arguments.Has("keep-image"));
  CKPT_ASSIGN_OR_RETURN(
      const double timeout,
      arguments.Seconds("timeout", checkpoint::kDefaultTimeoutSeconds));
  request.set_timeout_seconds(timeout);
  CKPT_ASSIGN_OR_RETURN(*request.mutable_criu(), CriuFlags(arguments));
  return request;
}

// Shows it while it runs: on standard error, or with --json on standard output.
OperationPrinter Printer(const Arguments& arguments, const Context& context) {
  if (arguments.Has("json")) return {true, OnTerminal(), context.emit};
  return {false, OnTerminal(),
          [](const google::protobuf::Message& message, const std::string&) {
            const auto& now = static_cast<const v1::Operation&>(message);
            // Its end is told in another way.
            if (now.state() == v1::OPERATION_STATE_RUNNING &&
                now.phase() != v1::PHASE_UNSPECIFIED) {
              std::fputs(absl::StrCat("ckpt: ",
                                      MigrationStateWord(now.migration_state()),
                                      " ", RenderPhase(now), "\n")
                             .c_str(),
                         stderr);
            }
            return absl::OkStatus();
          }};
}

absl::StatusOr<v1::Operation> Migrate(
    rpc::Client& remote, const v1::MigrateOperationRequest& request,
    const Arguments& arguments, const Context& context) {
  OperationPrinter printer = Printer(arguments, context);
  return RunOperation(
      remote, request.operation_id(), context.cancel,
      [&] { return remote.Migrate(request, nullptr); },
      [&printer](const v1::Operation& now) {
        // Nobody may be reading any more; the migration goes on.
        printer.Show(now).IgnoreError();
      });
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  v1::MigrateOperationRequest request;
  CKPT_ASSIGN_OR_RETURN(*request.mutable_request(), ParseRequest(arguments));
  request.set_operation_id(OperationId(arguments));
  CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments, kLocalAgent));
  CKPT_ASSIGN_OR_RETURN(const v1::Operation ended,
                        Migrate(*remote, request, arguments, context));
  v1::MigrateReport report = ended.migrate_report();
  if (arguments.Has("json")) {
    // A line, as all before.
    CKPT_RETURN_IF_ERROR(context.emit(report, ""));
    return Output();
  }
  std::string text = RenderMigration(report);
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command MigrateCommand() {
  return {
      "migrate",
      "move a running job to another node",
      "",
      "Freezes the job, sends its image while it is written, has the other "
      "node build the job from it and hold it,\nand only then decides: the "
      "job ends here and goes on there.  Whatever fails before that leaves it "
      "running\nhere; whatever fails later is gone on with by the agents.  "
      "Both nodes have a ckptd (ckptd(8)).",
      "ckpt migrate --cgroup job1 --to node2:7070",
      /*needs_root=*/false,
      WithNodeFlag(WithCriuFlags(WithGroupFlags(
          {{"to", "HOST:PORT|unix:PATH", "the node that the job goes to"},
           {"name", "NAME", "of the image at both nodes (migration-ID)"},
           {"to-cgroup", "X", "the group there (the one of the same path)"},
           {"subtree", "", "the job may be in groups below --cgroup, too"},
           {"pause-before-switchover", "",
            "wait for 'ckpt ops continue ID' when only the decision is "
            "missing"},
           {"keep-image", "", "keep the image at both nodes"},
           {"timeout", "D", "give up after this long (120s)"},
           {"operation", "ID",
            "the migration's name at both nodes; the same name again attaches "
            "to it"}}))),
      &Run};
}

}  // namespace ckpt::cli
