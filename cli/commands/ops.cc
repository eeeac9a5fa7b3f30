#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/remote_operation.h"
#include "cli/render.h"

namespace ckpt::cli {
namespace {

constexpr char kDefaultNode[] = "unix:/run/ckpt/ckptd.sock";

absl::StatusOr<Output> List(rpc::Client& remote, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(v1::OperationList list,
                        remote.ListOperations({}, context.cancel));
  std::string text = RenderOperations(list);
  return MakeOutput(std::move(list), std::move(text));
}

absl::StatusOr<Output> Watch(rpc::Client& remote,
                             const v1::OperationRequest& request,
                             const Context& context) {
  v1::Operation last;
  const absl::Status status = remote.WatchOperation(
      request, context.cancel, [&](const v1::Operation& operation) {
        last = operation;
        return context.emit(operation, RenderOperation(operation));
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

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  const std::vector<std::string>& words = arguments.positional();
  const bool known =
      words.empty() ||
      (words.size() == 2 && (words[0] == "watch" || words[0] == "cancel"));
  if (!known) {
    return absl::InvalidArgumentError(
        "say 'ckpt ops', 'ckpt ops watch ID' or 'ckpt ops cancel ID'");
  }
  CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments, kDefaultNode));
  if (words.empty()) return List(*remote, context);
  v1::OperationRequest request;
  request.set_operation_id(words[1]);
  return words[0] == "watch" ? Watch(*remote, request, context)
                             : Cancel(*remote, request, context);
}

}  // namespace

Command OpsCommand() {
  return {"ops",
          "list, watch and cancel the dumps and restores of a node's agent",
          "[watch|cancel ID]",
          "Without words, lists the operations that the agent knows, the "
          "oldest first.  'watch' prints a line for each\nstep up to the "
          "operation's end, whose code is the exit status.  'cancel' has it "
          "undone.",
          "ckpt ops watch 4fa1",
          /*needs_root=*/false,
          WithNodeFlag({}),
          &Run};
}

}  // namespace ckpt::cli
