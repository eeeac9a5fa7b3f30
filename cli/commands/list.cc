#include <string>
#include <utility>

#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "node/images.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<v1::ImageListReport> List(const Arguments& arguments,
                                         const Context& context) {
  if (!arguments.Has("node")) return node::ListImages(StoreFlag(arguments));
  CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
  return remote->ListImages({}, context.cancel);
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  CKPT_ASSIGN_OR_RETURN(v1::ImageListReport report, List(arguments, context));
  std::string text = RenderList(report);
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command ListCommand() {
  return {"list",
          "list the images of the store",
          "",
          "Oldest first; a * marks those that are pinned.  Images at paths of "
          "their own are not listed.",
          "ckpt list",
          /*needs_root=*/false,
          WithNodeFlag(WithStoreFlag({})),
          &Run};
}

}  // namespace ckpt::cli
