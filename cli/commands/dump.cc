#include "checkpoint/dump.h"

#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/remote_operation.h"
#include "cli/render.h"
#include "criu/binary.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<v1::DumpRequest> ParseRequest(const Arguments& arguments) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  v1::DumpRequest request;
  request.set_cgroup(arguments.Get("cgroup"));
  CKPT_ASSIGN_OR_RETURN(const int32_t pid, arguments.Number("pid"));
  request.set_pid(pid);
  CKPT_ASSIGN_OR_RETURN(const v1::Hierarchy hierarchy,
                        HierarchyFlag(arguments));
  request.set_hierarchy(hierarchy);
  if (arguments.Get("image").empty()) {
    return absl::InvalidArgumentError(
        "name the image: --image NAME, or --image /a/path");
  }
  request.set_image(arguments.Get("image"));
  request.set_leave_running(arguments.Has("leave-running"));
  request.set_leave_frozen(arguments.Has("leave-frozen"));
  request.set_no_freezer(arguments.Has("no-freezer"));
  request.set_subtree(arguments.Has("subtree"));
  CKPT_ASSIGN_OR_RETURN(
      const double timeout,
      arguments.Seconds("timeout", checkpoint::kDefaultTimeoutSeconds));
  request.set_timeout_seconds(timeout);
  CKPT_ASSIGN_OR_RETURN(*request.mutable_criu(), CriuFlags(arguments));
  return request;
}

absl::StatusOr<v1::DumpReport> DumpAt(rpc::Client& remote,
                                      const Arguments& arguments,
                                      const v1::DumpRequest& asked,
                                      const Context& context) {
  v1::DumpOperationRequest request;
  request.set_operation_id(OperationId(arguments));
  *request.mutable_request() = asked;
  CKPT_ASSIGN_OR_RETURN(
      const v1::Operation ended,
      RunOperation(remote, request.operation_id(), context.cancel,
                   [&] { return remote.Dump(request, nullptr); }));
  return ended.dump_report();
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const v1::DumpRequest request, ParseRequest(arguments));
  if (arguments.Has("node")) {
    CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
    CKPT_ASSIGN_OR_RETURN(v1::DumpReport report,
                          DumpAt(*remote, arguments, request, context));
    std::string text = RenderDump(report);
    return MakeOutput(std::move(report), std::move(text));
  }
  RecoverFirst();
  const ImageStore store = StoreFlag(arguments);
  CKPT_ASSIGN_OR_RETURN(const std::string criu,
                        criu::FindCriu(arguments.Get("criu")));
  CKPT_ASSIGN_OR_RETURN(
      v1::DumpReport report,
      checkpoint::Dump(
          request, {.store = &store, .criu = criu, .cancel = context.cancel}));
  std::string text = RenderDump(report);
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command DumpCommand() {
  return {
      "dump",
      "write a job into an image, and end it or let it go on",
      "",
      "Freezes the job's cgroup, verifies that the whole process tree and "
      "nothing else is in it, lets\nCRIU write the image, and ends the job "
      "once the image is on the disk.  If anything fails the\njob goes on as "
      "before, and there is no image.",
      "ckpt dump --cgroup job1 --image job1-monday",
      /*needs_root=*/true,
      WithNodeFlag(WithCriuFlags(WithStoreFlag(WithGroupFlags(
          {{"pid", "N",
            "root of the job's process tree (the one in the group)"},
           {"image", "NAME|PATH", "a name in the store, or a path"},
           {"subtree", "",
            "the job may be in groups below --cgroup, too; a restore puts each "
            "process back into its own"},
           {"leave-running", "", "let the job go on"},
           {"leave-frozen", "", "let it live, frozen"},
           {"no-freezer", "", "with --pid: by ptrace alone, unverified"},
           {"timeout", "D", "give up after this long (120s)"},
           {"operation", "ID",
            "with --node: the operation's name there; the same name again "
            "attaches to it"}})))),
      &Run};
}

}  // namespace ckpt::cli
