#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "store/criu_images.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<Output> Run(const Arguments& arguments, const Context&) {
  CKPT_ASSIGN_OR_RETURN(const std::string name,
                        arguments.OnlyPositional("IMAGE"));
  CKPT_ASSIGN_OR_RETURN(const Image image, StoreFlag(arguments).Open(name));
  const absl::Time start = Clock::Real().Now();
  CKPT_RETURN_IF_ERROR(image.Verify());
  CKPT_RETURN_IF_ERROR(CheckComplete(image.dir_fd()));
  v1::VerifyReport report;
  report.set_image(image.path());
  report.set_image_id(image.manifest().image_id());
  report.set_files(image.manifest().files_size());
  for (const v1::ManifestFile& file : image.manifest().files()) {
    report.set_bytes(report.bytes() + file.size_bytes());
  }
  report.set_seconds(absl::ToDoubleSeconds(Clock::Real().Now() - start));
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
          WithStoreFlag({}),
          &Run};
}

}  // namespace ckpt::cli
