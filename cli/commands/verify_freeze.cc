#include <cstdint>
#include <string>
#include <utility>

#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "node/groups.h"
#include "proto/agent.pb.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<v1::VerifyFreezeReport> Verify(const Arguments& arguments,
                                              const Context& context) {
  v1::VerifyFreezeRequest request;
  CKPT_ASSIGN_OR_RETURN(const int32_t tree, arguments.Number("tree"));
  CKPT_ASSIGN_OR_RETURN(const int32_t except, arguments.Number("except"));
  CKPT_ASSIGN_OR_RETURN(const v1::Hierarchy hierarchy,
                        HierarchyFlag(arguments));
  if (!arguments.Has("cgroup")) {
    return absl::InvalidArgumentError("name the group: --cgroup X");
  }
  request.set_cgroup(arguments.Get("cgroup"));
  request.set_hierarchy(hierarchy);
  request.set_tree(tree);
  request.set_except(except);
  request.set_subtree(arguments.Has("subtree"));
  if (arguments.Has("node")) {
    CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
    return remote->VerifyFreeze(request, context.cancel);
  }
  return node::VerifyFreeze(
      request.cgroup(), hierarchy,
      {.root = tree, .except = except, .subtree = request.subtree()});
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  CKPT_ASSIGN_OR_RETURN(v1::VerifyFreezeReport report,
                        Verify(arguments, context));
  std::string text = RenderVerifyFreeze(report);
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command VerifyFreezeCommand() {
  return {"verify-freeze",
          "tell whether a checkpoint would be legal now",
          "",
          "It is when every task of the process tree, and no other, is in one "
          "and the same group, and that\ngroup is frozen, by whomever.  Tasks "
          "in the way are named; nothing is changed.  The exit status\nis 0 "
          "when it is legal, 9 when it is not, 10 when the tasks or the state "
          "changed meanwhile.",
          "ckpt verify-freeze --cgroup job1 --tree 4711",
          /*needs_root=*/true,
          WithNodeFlag(WithGroupFlags(
              {{"tree", "PID", "root of the process tree"},
               {"except", "PID",
                "a process of the tree that does not count: the one that asks "
                "for the checkpoint"},
               {"subtree", "", "groups below the group are the same freeze"}})),
          &Run};
}

}  // namespace ckpt::cli
