#include <string>
#include <utility>

#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/transfer.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const std::string image,
                        arguments.OnlyPositional("IMAGE"));
  if (!arguments.Has("to")) {
    return absl::InvalidArgumentError(
        "say where to: --to HOST:PORT or --to unix:PATH");
  }
  CKPT_ASSIGN_OR_RETURN(
      v1::TransferReport report,
      PushImage({.image = image,
                 .as = arguments.Get("as"),
                 .node = arguments.Get("to"),
                 .restored_soon = arguments.Has("restore-soon")},
                arguments, context));
  std::string text = RenderTransfer(report, "sent");
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command PushCommand() {
  return {
      "push",
      "send an image to the store of another node",
      "IMAGE",
      "Sends what is not there yet, compressed and without zeros, and ends "
      "when the other node has compared\nall of it with the manifest and "
      "has it on its disk.  After a broken connection, or Ctrl-C, the\n"
      "same command goes on from what has arrived.",
      "ckpt push job1-monday --to node2:7070",
      /*needs_root=*/true,
      WithTransferFlags(
          {{"to", "HOST:PORT|unix:PATH", "the agent to send it to (ckptd(8))"},
           {"restore-soon", "",
            "it is restored there next: leave it in that node's page "
            "cache"}}),
      &Run};
}

}  // namespace ckpt::cli
