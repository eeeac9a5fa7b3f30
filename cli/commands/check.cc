#include "node/check.h"

#include <string>
#include <utility>

#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<v1::CheckReport> Check(const Arguments& arguments,
                                      const Context& context) {
  if (!arguments.Has("node")) {
    return node::CheckNode(arguments.Get("criu"), StoreFlag(arguments));
  }
  CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
  return remote->Check({}, context.cancel);
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  CKPT_ASSIGN_OR_RETURN(v1::CheckReport report, Check(arguments, context));
  std::string text = RenderCheck(report);
  const bool usable = report.usable();
  Output output = MakeOutput(std::move(report), std::move(text));
  if (!usable) {
    output.verdict = absl::FailedPreconditionError(
        "something that ckpt needs is missing on this machine");
  }
  return output;
}

}  // namespace

Command CheckCommand() {
  return {
      "check",
      "tell whether this machine can dump and restore",
      "",
      "Looks at the kernel, the freezers, CRIU and the store, and says "
      "what is missing.",
      "ckpt check",
      /*needs_root=*/false,
      WithNodeFlag(WithStoreFlag({{"criu", "PATH",
                                   "the CRIU to use ($CKPT_CRIU, /opt/ckpt, "
                                   "PATH)"}})),
      &Run};
}

}  // namespace ckpt::cli
