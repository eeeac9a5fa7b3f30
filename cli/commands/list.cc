#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/image_report.h"
#include "cli/render.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<Output> Run(const Arguments& arguments, const Context&) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  CKPT_ASSIGN_OR_RETURN(const auto summaries, StoreFlag(arguments).List());
  v1::ImageListReport report;
  for (const ImageSummary& summary : summaries) {
    *report.add_images() = SummarizeImage(summary);
  }
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
          WithStoreFlag({}),
          &Run};
}

}  // namespace ckpt::cli
