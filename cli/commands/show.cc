#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/image_report.h"
#include "cli/render.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<Output> Run(const Arguments& arguments, const Context&) {
  CKPT_ASSIGN_OR_RETURN(const std::string name,
                        arguments.OnlyPositional("IMAGE"));
  CKPT_ASSIGN_OR_RETURN(const Image image, StoreFlag(arguments).Open(name));
  CKPT_ASSIGN_OR_RETURN(v1::ImageReport report, DescribeImage(image));
  std::string text = RenderImage(report);
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command ShowCommand() {
  return {
      "show",
      "show what is in an image",
      "IMAGE",
      "Process tree, memory, files and sockets, when and where it was made.",
      "ckpt show job1-monday",
      /*needs_root=*/false,
      WithStoreFlag({}),
      &Run};
}

}  // namespace ckpt::cli
