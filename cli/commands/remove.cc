#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<Output> Run(const Arguments& arguments, const Context&) {
  CKPT_ASSIGN_OR_RETURN(const std::string name,
                        arguments.OnlyPositional("IMAGE"));
  const ImageStore store = StoreFlag(arguments);
  v1::RemoveReport report;
  CKPT_ASSIGN_OR_RETURN(*report.mutable_image(), store.PathOf(name));
  CKPT_RETURN_IF_ERROR(store.Remove(name));
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
          WithStoreFlag({}),
          &Run};
}

}  // namespace ckpt::cli
