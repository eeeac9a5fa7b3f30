#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/operation_printer.h"
#include "cli/remote_operation.h"
#include "cli/render.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<Output> List(rpc::Client& remote, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(v1::OperationList list,
                        remote.ListOperations({}, context.cancel));
  std::string text = RenderOperations(list);
  return MakeOutput(std::move(list), std::move(text));
}

absl::StatusOr<Output> Watch(rpc::Client& remote, const Arguments& arguments,
                             const v1::OperationRequest& request,
                             const Context& context) {
  v1::Operation last;
  OperationPrinter printer(arguments.Has("json"), OnTerminal(), context.emit);
  const absl::Status status = remote.WatchOperation(
      request, context.cancel, [&](const v1::Operation& operation) {
        last = operation;
        return printer.Show(operation);
      });
  // Ctrl-C is how a watch ends before the operation does.
  if (absl::IsCancelled(status) && context.cancel->cancelled()) return Output();
  CKPT_RETURN_IF_ERROR(status);
  Output output;
  output.verdict = ErrorOf(last);  // printed with its last line
  return output;
}

absl::StatusOr<Output> Cancel(rpc::Client& remote,
                              const v1::OperationRequest& request,
                              const Context& context) {
  CKPT_ASSIGN_OR_RETURN(v1::Operation operation,
                        remote.CancelOperation(request, context.cancel));
  std::string text = RenderOperation(operation);
  return MakeOutput(std::move(operation), std::move(text));
}

absl::StatusOr<Output> Continue(rpc::Client& remote,
                                const v1::OperationRequest& request,
                                const Context& context) {
  CKPT_ASSIGN_OR_RETURN(v1::Operation operation,
                        remote.ContinueOperation(request, context.cancel));
  std::string text = RenderOperation(operation);
  return MakeOutput(std::move(operation), std::move(text));
}

Output ShowRecord(v1::MigrationRecord record) {
  std::string text = RenderMigrationRecord(record);
  return MakeOutput(std::move(record), std::move(text));
}

// Of a migration what either node has written down; of others the line that
// `ckpt ops` has.
absl::StatusOr<Output> Show(rpc::Client& remote,
                            const v1::OperationRequest& request,
                            const Context& context) {
  auto record = remote.GetMigration(request, context.cancel);
  if (record.ok()) return ShowRecord(*std::move(record));
  if (!absl::IsNotFound(record.status())) return record.status();
  CKPT_ASSIGN_OR_RETURN(v1::Operation operation,
                        remote.GetOperation(request, context.cancel));
  std::string text = RenderOperation(operation);
  return MakeOutput(std::move(operation), std::move(text));
}

absl::StatusOr<Output> Decide(rpc::Client& remote, const Arguments& arguments,
                              const v1::OperationRequest& request,
                              const Context& context) {
  if (arguments.Has("keep") == arguments.Has("drop")) {
    return absl::InvalidArgumentError(
        "say --keep, the job is that node's, or --drop, it is not");
  }
  v1::DecideMigrationRequest decision;
  decision.set_operation_id(request.operation_id());
  decision.set_keep(arguments.Has("keep"));
  decision.set_drop(arguments.Has("drop"));
  CKPT_ASSIGN_OR_RETURN(v1::MigrationRecord record,
                        remote.DecideMigration(decision, context.cancel));
  return ShowRecord(std::move(record));
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  const std::vector<std::string>& words = arguments.positional();
  CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments, kLocalAgent));
  if (words.empty()) return List(*remote, context);
  if (words.size() == 2) {
    v1::OperationRequest request;
    request.set_operation_id(words[1]);
    if (words[0] == "watch") return Watch(*remote, arguments, request, context);
    if (words[0] == "cancel") return Cancel(*remote, request, context);
    if (words[0] == "show") return Show(*remote, request, context);
    if (words[0] == "continue") return Continue(*remote, request, context);
    if (words[0] == "decide") {
      return Decide(*remote, arguments, request, context);
    }
  }
  return absl::InvalidArgumentError(
      "say 'ckpt ops', or 'ckpt ops' with one of watch, show, cancel, continue "
      "and decide, and an operation's id");
}

}  // namespace

Command OpsCommand() {
  return {
      "ops",
      "list, watch, show and cancel the operations of a node's agent",
      "[watch|show|cancel|continue|decide ID]",
      "Without words, lists the operations that the agent knows, the "
      "oldest first.  'watch' prints a line for each\nstep, and each tenth of "
      "what is sent, up to the operation's end, whose code is the exit "
      "status; on a terminal\nit shows what is between, too.  'cancel' has it "
      "undone.  'show' tells what was\ndecided of a migration, and why, "
      "at either node; 'continue' lets one go on that waits before its\n"
      "switchover.  'decide', with --keep or --drop, is for a node whose "
      "other node is lost for ever: wrong,\nit makes two copies run, or "
      "none.",
      "ckpt ops watch 4fa1",
      /*needs_root=*/false,
      WithNodeFlag({{"keep", "", "decide: the job is that node's"},
                    {"drop", "", "decide: it is not"}}),
      &Run};
}

}  // namespace ckpt::cli
