#include "node/images.h"

#include "base/clock.h"
#include "base/status.h"
#include "node/image_report.h"
#include "store/arriving_image.h"
#include "store/criu_images.h"

namespace ckpt::node {

absl::StatusOr<v1::ImageListReport> ListImages(const ImageStore& store) {
  CKPT_ASSIGN_OR_RETURN(const auto summaries, store.List());
  v1::ImageListReport report;
  for (const ImageSummary& summary : summaries) {
    *report.add_images() = SummarizeImage(summary);
  }
  CKPT_ASSIGN_OR_RETURN(const auto arriving, ListArriving(store));
  report.mutable_arriving()->Assign(arriving.begin(), arriving.end());
  return report;
}

absl::StatusOr<v1::ImageReport> GetImage(const ImageStore& store,
                                         const std::string& name) {
  CKPT_ASSIGN_OR_RETURN(const Image image, store.Open(name));
  return DescribeImage(image);
}

absl::StatusOr<v1::VerifyReport> VerifyImage(const ImageStore& store,
                                             const std::string& name,
                                             const Cancellation* cancel) {
  CKPT_ASSIGN_OR_RETURN(const Image image, store.Open(name));
  const absl::Time start = Clock::Real().Now();
  CKPT_RETURN_IF_ERROR(image.Verify(cancel));
  CKPT_RETURN_IF_ERROR(CheckComplete(image.dir_fd()));
  v1::VerifyReport report;
  report.set_image(image.path());
  report.set_image_id(image.manifest().image_id());
  report.set_files(image.manifest().files_size());
  for (const v1::ManifestFile& file : image.manifest().files()) {
    report.set_bytes(report.bytes() + file.size_bytes());
  }
  report.set_seconds(absl::ToDoubleSeconds(Clock::Real().Now() - start));
  return report;
}

absl::StatusOr<v1::RemoveReport> RemoveImage(const ImageStore& store,
                                             const std::string& name) {
  v1::RemoveReport report;
  CKPT_ASSIGN_OR_RETURN(*report.mutable_image(), store.PathOf(name));
  const absl::Status removed = store.Remove(name);
  if (absl::IsNotFound(removed)) {
    CKPT_ASSIGN_OR_RETURN(const bool was_arriving, RemoveArriving(store, name));
    if (was_arriving) return report;
  }
  CKPT_RETURN_IF_ERROR(removed);
  return report;
}

absl::StatusOr<v1::PinReport> PinImage(const ImageStore& store,
                                       const std::string& name, bool pinned) {
  v1::PinReport report;
  CKPT_ASSIGN_OR_RETURN(*report.mutable_image(), store.PathOf(name));
  CKPT_ASSIGN_OR_RETURN(const bool changed,
                        pinned ? store.Pin(name) : store.Unpin(name));
  report.set_pinned(pinned);
  report.set_changed(changed);
  return report;
}

}  // namespace ckpt::node
