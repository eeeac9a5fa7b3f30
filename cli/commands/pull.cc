#include "transfer/pull.h"

#include <string>
#include <utility>

#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/transfer.h"
#include "rpc/image_link.h"
#include "transfer/receiver.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const std::string image,
                        arguments.OnlyPositional("IMAGE"));
  if (!arguments.Has("from")) {
    return absl::InvalidArgumentError(
        "say where from: --from HOST:PORT or --from unix:PATH");
  }
  const std::string name = arguments.Has("as") ? arguments.Get("as") : image;
  CKPT_ASSIGN_OR_RETURN(const transfer::TransferOptions options,
                        TransferFlags(arguments, context));
  const auto link =
      rpc::MakeImageLink(NodeOptions(arguments, arguments.Get("from")));
  transfer::Receiver receiver(StoreFlag(arguments));
  CKPT_ASSIGN_OR_RETURN(v1::TransferReport report,
                        transfer::Pull(*link, image, receiver, name, options));
  std::string text = RenderTransfer(report, "received");
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command PullCommand() {
  return {"pull",
          "get an image from the store of another node",
          "IMAGE",
          "Gets what is not here yet, compressed and without zeros, and ends "
          "when all of it is compared with\nthe manifest and on the disk.  "
          "After a broken connection, or Ctrl-C, the same command goes on\n"
          "from what has arrived.",
          "ckpt pull job1-monday --from node1:7070",
          /*needs_root=*/true,
          WithTransferFlags({{"from", "HOST:PORT|unix:PATH",
                              "the agent to get it from (ckptd(8))"}}),
          &Run};
}

}  // namespace ckpt::cli
