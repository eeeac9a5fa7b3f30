#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "node/images.h"
#include "proto/agent.pb.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<v1::PinReport> Changed(const Arguments& arguments,
                                      const Context& context, bool pinned) {
  v1::PinImageRequest request;
  CKPT_ASSIGN_OR_RETURN(*request.mutable_image(),
                        arguments.OnlyPositional("IMAGE"));
  request.set_pinned(pinned);
  if (!arguments.Has("node")) {
    return node::PinImage(StoreFlag(arguments), request.image(), pinned);
  }
  CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
  return remote->PinImage(request, context.cancel);
}

absl::StatusOr<Output> Change(const Arguments& arguments,
                              const Context& context, bool pinned) {
  CKPT_ASSIGN_OR_RETURN(v1::PinReport report,
                        Changed(arguments, context, pinned));
  std::string text =
      absl::StrCat(report.changed() ? "" : "nothing to do: ", report.image(),
                   pinned ? " is pinned\n" : " is not pinned\n");
  return MakeOutput(std::move(report), std::move(text));
}

absl::StatusOr<Output> Pin(const Arguments& arguments, const Context& context) {
  return Change(arguments, context, true);
}

absl::StatusOr<Output> Unpin(const Arguments& arguments,
                             const Context& context) {
  return Change(arguments, context, false);
}

}  // namespace

Command PinCommand() {
  return {"pin",
          "keep an image from being removed",
          "IMAGE",
          "Neither ckpt remove nor ckpt run removes it, until it is unpinned.",
          "ckpt pin render.7",
          /*needs_root=*/true,
          WithNodeFlag(WithStoreFlag({})),
          &Pin};
}

Command UnpinCommand() {
  return {"unpin",
          "let a pinned image be removed again",
          "IMAGE",
          "",
          "ckpt unpin render.7",
          /*needs_root=*/true,
          WithNodeFlag(WithStoreFlag({})),
          &Unpin};
}

}  // namespace ckpt::cli
