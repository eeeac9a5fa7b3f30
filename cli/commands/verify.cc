#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "node/images.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<v1::VerifyReport> Verify(const Arguments& arguments,
                                        const std::string& name,
                                        const Context& context) {
  if (!arguments.Has("node")) {
    return node::VerifyImage(StoreFlag(arguments), name, context.cancel);
  }
  CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
  v1::ImageRequest request;
  request.set_image(name);
  return remote->VerifyImage(request, context.cancel);
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const std::string name,
                        arguments.OnlyPositional("IMAGE"));
  CKPT_ASSIGN_OR_RETURN(v1::VerifyReport report,
                        Verify(arguments, name, context));
  std::string text = absl::StrCat(
      report.image(), " is whole: ", report.files(), " files, ",
      Size(report.bytes()), ", verified in ", Time(report.seconds()), "\n");
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command VerifyCommand() {
  return {"verify",
          "check that an image is whole, bit by bit",
          "IMAGE",
          "Compares size and SHA-256 of every file with the manifest, and "
          "looks for what CRIU needs.",
          "ckpt verify job1-monday",
          /*needs_root=*/false,
          WithNodeFlag(WithStoreFlag({})),
          &Run};
}

}  // namespace ckpt::cli
