#include "restore/restore.h"

#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/remote_operation.h"
#include "cli/render.h"
#include "cli/transfer.h"
#include "criu/binary.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<v1::RestoreRequest> ParseRequest(const Arguments& arguments) {
  v1::RestoreRequest request;
  CKPT_ASSIGN_OR_RETURN(*request.mutable_image(),
                        arguments.OnlyPositional("IMAGE"));
  request.set_cgroup(arguments.Get("cgroup"));
  CKPT_ASSIGN_OR_RETURN(const v1::Hierarchy hierarchy,
                        HierarchyFlag(arguments));
  request.set_hierarchy(hierarchy);
  CKPT_ASSIGN_OR_RETURN(const v1::OutputPolicy policy,
                        OutputPolicyFlag(arguments));
  request.set_output_policy(policy);
  request.set_frozen(arguments.Has("frozen"));
  request.set_pidfile(arguments.Get("pidfile"));
  CKPT_ASSIGN_OR_RETURN(
      const double timeout,
      arguments.Seconds("timeout", restore::kDefaultTimeoutSeconds));
  request.set_timeout_seconds(timeout);
  CKPT_ASSIGN_OR_RETURN(*request.mutable_criu(), CriuFlags(arguments));
  return request;
}

absl::StatusOr<v1::RestoreReport> RestoreAt(rpc::Client& remote,
                                            const Arguments& arguments,
                                            const v1::RestoreRequest& asked,
                                            const Context& context) {
  v1::RestoreOperationRequest request;
  request.set_operation_id(OperationId(arguments));
  *request.mutable_request() = asked;
  const auto run = [&] {
    return RunOperation(remote, request.operation_id(), context.cancel,
                        [&] { return remote.Restore(request, nullptr); });
  };
  auto ended = run();
  if (absl::IsNotFound(ended.status()) &&
      StoreFlag(arguments).Open(asked.image()).ok()) {
    // The image is here, and perhaps it is what is missing there.
    CKPT_RETURN_IF_ERROR(PushImage({.image = asked.image(),
                                    .as = "",
                                    .node = arguments.Get("node"),
                                    .restored_soon = true},
                                   arguments, context)
                             .status());
    ended = run();
  }
  CKPT_RETURN_IF_ERROR(ended.status());
  return ended->restore_report();
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const v1::RestoreRequest request,
                        ParseRequest(arguments));
  if (arguments.Has("node")) {
    CKPT_ASSIGN_OR_RETURN(const auto remote,
                          NodeFlag(arguments, "",
                                   /*store_goes_with_it=*/true));
    CKPT_ASSIGN_OR_RETURN(v1::RestoreReport report,
                          RestoreAt(*remote, arguments, request, context));
    std::string text = RenderRestore(report);
    return MakeOutput(std::move(report), std::move(text));
  }
  RecoverFirst();
  const ImageStore store = StoreFlag(arguments);
  CKPT_ASSIGN_OR_RETURN(const std::string criu,
                        criu::FindCriu(arguments.Get("criu")));
  CKPT_ASSIGN_OR_RETURN(
      v1::RestoreReport report,
      restore::Restore(
          request, {.store = &store, .criu = criu, .cancel = context.cancel}));
  std::string text = RenderRestore(report);
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command RestoreCommand() {
  return {"restore",
          "start a job again from its image",
          "IMAGE",
          "Verifies the image bit by bit and this node, builds all processes "
          "in the cgroup, and lets them\nrun only when all are there.  The "
          "options of the dump are used again by themselves.\nWith --node, an "
          "image that the node lacks and this machine has is sent there "
          "first.",
          "ckpt restore job1-monday",
          /*needs_root=*/true,
          WithNodeFlag(WithCriuFlags(WithStoreFlag(WithGroupFlags(
              {{"frozen", "", "leave the job frozen, never having run"},
               {"pidfile", "FILE", "write the pid of the tree's root there"},
               {"inherit-fd", "fd[N]:KEY",
                "give descriptor N of ckpt to the job; may be repeated"},
               {"output-policy", "truncate|append|fail",
                "what to do with files that the job writes to and that have "
                "grown since (append)"},
               {"timeout", "D", "give up after this long (120s)"},
               {"operation", "ID",
                "with --node: the operation's name there; the same name again "
                "attaches to it"}})))),
          &Run};
}

}  // namespace ckpt::cli
