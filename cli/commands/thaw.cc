#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "node/groups.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<v1::ThawRequest> ParseRequest(const Arguments& arguments) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  v1::ThawRequest request;
  CKPT_RETURN_IF_ERROR(SetGroups(arguments, request));
  CKPT_ASSIGN_OR_RETURN(
      const double timeout,
      arguments.Seconds("timeout", node::kDefaultTimeoutSeconds));
  request.set_timeout_seconds(timeout);
  request.set_all_or_nothing(arguments.Has("all-or-nothing"));
  return request;
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const v1::ThawRequest request, ParseRequest(arguments));
  if (arguments.Has("node")) {
    CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
    CKPT_ASSIGN_OR_RETURN(const v1::FreezeResponse response,
                          remote->Thaw(request, context.cancel));
    return DescribeFreeze(response);
  }
  RecoverFirst();
  CKPT_ASSIGN_OR_RETURN(const v1::FreezeResponse response,
                        node::Thaw(request, context.cancel));
  return DescribeFreeze(response);
}

}  // namespace

Command ThawCommand() {
  return {
      "thaw",
      "thaw cgroups",
      "",
      "Takes back the group's own request and returns when its tasks run.  "
      "If an ancestor keeps the\ngroup frozen, that one is named.  A group "
      "that a checkpoint holds is not thawed.  Several groups are thawed at "
      "the same time and reported\ntogether.",
      "ckpt thaw --cgroup job1",
      /*needs_root=*/true,
      WithNodeFlag(
          WithGroupFlags({{"timeout", "D", "give up after this long (10s)"},
                          {"all-or-nothing", "",
                           "of several groups: if one fails, freeze all again "
                           "that were frozen"}},
                         /*several=*/true)),
      &Run};
}

}  // namespace ckpt::cli
