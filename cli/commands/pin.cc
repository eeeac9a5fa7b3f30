#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<Output> Change(
    const Arguments& arguments, bool pinned,
    absl::StatusOr<bool> (ImageStore::*change)(absl::string_view) const) {
  CKPT_ASSIGN_OR_RETURN(const std::string name,
                        arguments.OnlyPositional("IMAGE"));
  const ImageStore store = StoreFlag(arguments);
  v1::PinReport report;
  CKPT_ASSIGN_OR_RETURN(*report.mutable_image(), store.PathOf(name));
  CKPT_ASSIGN_OR_RETURN(const bool changed, (store.*change)(name));
  report.set_pinned(pinned);
  report.set_changed(changed);
  std::string text =
      absl::StrCat(changed ? "" : "nothing to do: ", report.image(),
                   pinned ? " is pinned\n" : " is not pinned\n");
  return MakeOutput(std::move(report), std::move(text));
}

absl::StatusOr<Output> Pin(const Arguments& arguments, const Context&) {
  return Change(arguments, true, &ImageStore::Pin);
}

absl::StatusOr<Output> Unpin(const Arguments& arguments, const Context&) {
  return Change(arguments, false, &ImageStore::Unpin);
}

}  // namespace

Command PinCommand() {
  return {"pin",
          "keep an image from being removed",
          "IMAGE",
          "Neither ckpt remove nor ckpt run removes it, until it is unpinned.",
          "ckpt pin render.7",
          /*needs_root=*/true,
          WithStoreFlag({}),
          &Pin};
}

Command UnpinCommand() {
  return {"unpin",
          "let a pinned image be removed again",
          "IMAGE",
          "",
          "ckpt unpin render.7",
          /*needs_root=*/true,
          WithStoreFlag({}),
          &Unpin};
}

}  // namespace ckpt::cli
