#include <string>
#include <utility>

#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "preflight/preflight.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<v1::CheckRequest> ParseRequest(const Arguments& arguments) {
  v1::CheckRequest request;
  request.set_cgroup(arguments.Get("cgroup"));
  CKPT_ASSIGN_OR_RETURN(const int32_t pid, arguments.Number("pid"));
  request.set_pid(pid);
  CKPT_ASSIGN_OR_RETURN(const v1::Hierarchy hierarchy,
                        HierarchyFlag(arguments));
  request.set_hierarchy(hierarchy);
  request.set_subtree(arguments.Has("subtree"));
  CKPT_ASSIGN_OR_RETURN(*request.mutable_criu(), CriuFlags(arguments));
  request.set_with_needs(arguments.Has("to"));
  if (arguments.Has("into") && !arguments.Has("to")) {
    return absl::InvalidArgumentError("--into goes with --to");
  }
  if (request.cgroup().empty() && request.pid() == 0 && arguments.Has("to")) {
    return absl::InvalidArgumentError(
        "--to goes with a job: --cgroup X, or --pid N");
  }
  return request;
}

// What is found here, or at the node that is asked.
absl::StatusOr<v1::CheckReport> CheckSource(const Arguments& arguments,
                                            const v1::CheckRequest& request,
                                            const Context& context) {
  if (!arguments.Has("node")) {
    const ImageStore store = StoreFlag(arguments);
    return preflight::Check(request, {.store = &store,
                                      .criu = arguments.Get("criu"),
                                      .cancel = context.cancel});
  }
  CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
  return remote->Check(request, context.cancel);
}

// Adds what the destination finds.
absl::Status AddDestination(const Arguments& arguments, const Context& context,
                            v1::CheckReport& report) {
  const std::string name = arguments.Get("to");
  CKPT_ASSIGN_OR_RETURN(const auto node, NodeAt(arguments, name));
  v1::CheckRequest request;
  *request.mutable_needs() = report.needs();
  request.set_into_cgroup(arguments.Get("into"));
  auto answer = node->Check(request, context.cancel);
  if (absl::IsUnavailable(answer.status())) {
    // What was found here is worth telling, too.
    v1::CheckFinding& finding = *report.add_findings();
    finding.set_subject("destination");
    finding.set_level(v1::CheckFinding::LEVEL_BLOCKER);
    finding.set_found(std::string(answer.status().message()));
    finding.set_node(name);
    finding.set_will_pass(true);
    report.set_usable(false);
    report.clear_needs();
    return absl::OkStatus();
  }
  CKPT_ASSIGN_OR_RETURN(v1::CheckReport there, std::move(answer));
  for (v1::CheckFinding& finding : *there.mutable_findings()) {
    finding.set_node(name);
    *report.add_findings() = std::move(finding);
  }
  report.set_usable(report.usable() && there.usable());
  report.clear_needs();
  return absl::OkStatus();
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  CKPT_ASSIGN_OR_RETURN(const v1::CheckRequest request,
                        ParseRequest(arguments));
  CKPT_ASSIGN_OR_RETURN(v1::CheckReport report,
                        CheckSource(arguments, request, context));
  if (arguments.Has("to")) {
    CKPT_RETURN_IF_ERROR(AddDestination(arguments, context, report));
  }
  std::string text = RenderCheck(report);
  absl::Status verdict = preflight::Verdict(report);
  Output output = MakeOutput(std::move(report), std::move(text));
  if (!verdict.ok()) {
    output.verdict = absl::Status(verdict.code(), verdict.message());
  }
  return output;
}

}  // namespace

Command CheckCommand() {
  return {
      "check",
      "tell whether this machine, or a job, can be dumped and restored",
      "",
      "Alone: looks at the kernel, the freezers, CRIU and the store, and says "
      "what is missing.\nWith a job: looks at its tasks and at all that they "
      "have open, and says what CRIU will not dump,\nand which option or "
      "change of the job helps.  With --to as well: whether it can be "
      "restored there.\nNothing is touched.",
      "ckpt check --cgroup job1 --to unix:/run/ckpt/ckptd.sock",
      /*needs_root=*/false,
      WithNodeFlag(WithCriuFlags(WithStoreFlag(WithGroupFlags(
          {{"pid", "N",
            "root of the job's process tree (the one in the group)"},
           {"subtree", "", "the job may be in groups below --cgroup, too"},
           {"to", "NODE", "ask the agent there whether it can take the job"},
           {"into", "CGROUP",
            "with --to: the group that it is to be in there"}})))),
      &Run};
}

}  // namespace ckpt::cli
