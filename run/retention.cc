#include "run/retention.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ckpt::run {
namespace {

uint64_t TotalBytes(const JobImage& image) {
  uint64_t total = 0;
  for (const v1::ManifestFile& file : image.manifest.files()) {
    total += file.size_bytes();
  }
  return total;
}

}  // namespace

std::string Retention::Reason(const JobImage& image, int32_t newer,
                              uint64_t newer_bytes, absl::Time now) const {
  if (limits_.keep > 0 && newer >= limits_.keep) {
    return limits_.keep == 1
               ? "the newest one is kept"
               : absl::StrCat("the newest ", limits_.keep, " are kept");
  }
  const absl::Time made = absl::FromUnixNanos(image.manifest.created_unix_ns());
  if (now - made > limits_.keep_for) {
    return absl::StrCat("it is older than ",
                        absl::FormatDuration(limits_.keep_for));
  }
  const uint64_t bytes = newer_bytes + TotalBytes(image);
  if (bytes > limits_.max_bytes) {
    return absl::StrCat("those newer leave no room for it in ",
                        limits_.max_bytes, " bytes");
  }
  return "";
}

std::vector<RemovableImage> Retention::Choose(
    const std::vector<JobImage>& images, int32_t finished,
    absl::Time now) const {
  std::vector<RemovableImage> chosen;
  std::string reason;  // once there is one, it is that of all older ones
  int32_t newer = 0;
  uint64_t newer_bytes = 0;
  for (auto image = images.rbegin(); image != images.rend(); ++image) {
    if (image->pinned) continue;
    if (image->number <= finished) {
      chosen.push_back({image->name, "the job is done with it"});
      continue;
    }
    if (reason.empty() && image->status.ok()) {
      if (newer > 0) reason = Reason(*image, newer, newer_bytes, now);
      ++newer;
      newer_bytes += TotalBytes(*image);
    }
    if (!reason.empty()) chosen.push_back({image->name, reason});
  }
  std::reverse(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace ckpt::run
