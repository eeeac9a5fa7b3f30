#include "run/job_images.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"

namespace ckpt::run {

absl::StatusOr<std::vector<JobImage>> ListJobImages(const ImageStore& store,
                                                    const std::string& job) {
  CKPT_ASSIGN_OR_RETURN(std::vector<ImageSummary> all, store.List());
  std::vector<JobImage> images;
  for (ImageSummary& summary : all) {
    absl::string_view rest = summary.name;
    JobImage image;
    // Only as JobImageName() writes it: NAME.07 is somebody else's.
    if (!absl::ConsumePrefix(&rest, job + ".") ||
        !absl::SimpleAtoi(rest, &image.number) || image.number <= 0 ||
        JobImageName(job, image.number) != summary.name) {
      continue;
    }
    image.name = std::move(summary.name);
    image.status = std::move(summary.status);
    image.manifest = std::move(summary.manifest);
    image.pinned = summary.pinned;
    images.push_back(std::move(image));
  }
  std::sort(
      images.begin(), images.end(),
      [](const JobImage& a, const JobImage& b) { return a.number < b.number; });
  return images;
}

std::string JobImageName(const std::string& job, int32_t number) {
  return absl::StrCat(job, ".", number);
}

}  // namespace ckpt::run
