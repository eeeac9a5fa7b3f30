#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "node/groups.h"

namespace ckpt::cli {
namespace {

// What --until waits for.
absl::Status SetGoal(const Arguments& arguments, v1::WatchRequest& request) {
  if (!arguments.Has("until")) return absl::OkStatus();
  const std::string word = absl::AsciiStrToUpper(arguments.Get("until"));
  request.set_until_removed(word == "REMOVED");
  for (const v1::FreezerState state :
       {v1::FREEZER_STATE_THAWED, v1::FREEZER_STATE_FREEZING,
        v1::FREEZER_STATE_FROZEN}) {
    if (word == StateWord(state)) request.set_until(state);
  }
  if (request.until_removed() ||
      request.until() != v1::FREEZER_STATE_UNSPECIFIED) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--until '", arguments.Get("until"),
                   "' is none of THAWED, FREEZING, FROZEN, REMOVED"));
}

absl::Status Watch(const Arguments& arguments, const v1::WatchRequest& request,
                   const Context& context) {
  const auto emit = [&context](const v1::WatchEvent& event) {
    return context.emit(event, RenderWatchEvent(event));
  };
  if (!arguments.Has("node")) {
    return node::Watch(request, context.cancel, emit);
  }
  CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
  return remote->Watch(request, context.cancel, emit);
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  v1::WatchRequest request;
  CKPT_RETURN_IF_ERROR(SetGoal(arguments, request));
  CKPT_ASSIGN_OR_RETURN(const double seconds, arguments.Seconds("for", 0));
  request.set_seconds(seconds);
  CKPT_RETURN_IF_ERROR(SetGroups(arguments, request));
  const absl::Status status = Watch(arguments, request, context);
  // Ctrl-C is how a watch ends.
  if (absl::IsCancelled(status) && context.cancel->cancelled()) return Output();
  CKPT_RETURN_IF_ERROR(status);
  return Output();
}

}  // namespace

Command WatchCommand() {
  return {
      "watch",
      "print the state changes of cgroups as they happen",
      "",
      "Begins with the present state.  A line tells of each change of the "
      "effective state, of the own\nrequest, or of the ancestor that freezes, "
      "and of each write to the files that do so, with the\nwriter where the "
      "kernel tells (to root).  Ends on Ctrl-C, or as told; with --json, one "
      "object a line.",
      "ckpt watch --cgroup job1 --until FROZEN --for 10m",
      /*needs_root=*/false,
      WithNodeFlag(WithGroupFlags(
          {{"for", "D", "end after this long"},
           {"until", "STATE",
            "end when all groups that are left are THAWED, FREEZING "
            "or FROZEN, or all are REMOVED; exit status 4 if --for "
            "passes before"}},
          /*several=*/true)),
      &Run};
}

}  // namespace ckpt::cli
