#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "node/images.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<v1::RemoveReport> Remove(const Arguments& arguments,
                                        const std::string& name,
                                        const Context& context) {
  if (!arguments.Has("node")) {
    return node::RemoveImage(StoreFlag(arguments), name);
  }
  CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
  v1::ImageRequest request;
  request.set_image(name);
  return remote->RemoveImage(request, context.cancel);
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const std::string name,
                        arguments.OnlyPositional("IMAGE"));
  CKPT_ASSIGN_OR_RETURN(v1::RemoveReport report,
                        Remove(arguments, name, context));
  std::string text = absl::StrCat("removed ", report.image(), "\n");
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command RemoveCommand() {
  return {"remove",
          "remove an image",
          "IMAGE",
          "An image that a restore reads, or that is pinned (ckpt pin), is not "
          "removed.",
          "ckpt remove job1-monday",
          /*needs_root=*/true,
          WithNodeFlag(WithStoreFlag({})),
          &Run};
}

}  // namespace ckpt::cli
