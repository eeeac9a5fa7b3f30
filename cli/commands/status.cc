#include "base/status.h"

#include <string>
#include <utility>

#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "node/groups.h"

namespace ckpt::cli {
namespace {

Output Describe(v1::StatusResponse response) {
  absl::Status verdict = node::Verdict(response);
  if (response.has_one()) {
    std::string text = RenderStatus(response.one());
    return MakeOutput(std::move(*response.mutable_one()), std::move(text));
  }
  std::string text = RenderStatusSet(response.several());
  Output output =
      MakeOutput(std::move(*response.mutable_several()), std::move(text));
  output.verdict = std::move(verdict);
  return output;
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  v1::StatusRequest request;
  CKPT_RETURN_IF_ERROR(SetGroups(arguments, request));
  if (arguments.Has("node")) {
    CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
    CKPT_ASSIGN_OR_RETURN(v1::StatusResponse response,
                          remote->Status(request, context.cancel));
    return Describe(std::move(response));
  }
  CKPT_ASSIGN_OR_RETURN(v1::StatusResponse response, node::Status(request));
  return Describe(std::move(response));
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
          WithNodeFlag(WithGroupFlags({}, /*several=*/true)),
          &Run};
}

}  // namespace ckpt::cli
