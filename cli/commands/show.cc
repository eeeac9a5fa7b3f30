#include <string>
#include <utility>

#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "node/images.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<v1::ImageReport> Show(const Arguments& arguments,
                                     const std::string& name,
                                     const Context& context) {
  if (!arguments.Has("node")) {
    return node::GetImage(StoreFlag(arguments), name);
  }
  CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
  v1::ImageRequest request;
  request.set_image(name);
  return remote->GetImage(request, context.cancel);
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const std::string name,
                        arguments.OnlyPositional("IMAGE"));
  CKPT_ASSIGN_OR_RETURN(v1::ImageReport report, Show(arguments, name, context));
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
      WithNodeFlag(WithStoreFlag({})),
      &Run};
}

}  // namespace ckpt::cli
