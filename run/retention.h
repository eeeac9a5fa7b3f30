// Which images of a job go, once a new one is whole.
//
//   const Retention retention({.keep = 3, .keep_for = absl::Hours(24)});
//   for (const RemovableImage& image :
//        retention.Choose(images, finished_image, absl::Now())) {
//     ... image.name, image.reason ...
//   }
//
// Each limit is one by itself: an image goes if any of them says so, and then
// all older ones go with it.  Two kinds of images never do, nor count for a
// limit: the newest whole one, which the job would go on from, and those that
// are pinned.  One whose manifest cannot be read counts for nothing either, and
// goes when it is older than all that stay.
#ifndef CKPT_RUN_RETENTION_H_
#define CKPT_RUN_RETENTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "run/job_images.h"

namespace ckpt::run {

struct RetentionLimits {
  // The newest so many stay; 0: that is no limit.
  int32_t keep = 0;
  // Those stay that are younger than this.
  absl::Duration keep_for = absl::InfiniteDuration();
  // Those stay that are not larger than this together with all newer ones.
  uint64_t max_bytes = UINT64_MAX;
};

struct RemovableImage {
  std::string name;
  std::string reason;  // "the newest 2 are kept"
};

// Thread-safe.
class Retention {
 public:
  explicit Retention(const RetentionLimits& limits) : limits_(limits) {}

  // Of `images`, oldest first, as ListJobImages() gives them.  Those up to
  // number `finished` are history: all of them go.
  std::vector<RemovableImage> Choose(const std::vector<JobImage>& images,
                                     int32_t finished, absl::Time now) const;

 private:
  // Why an image goes and all older ones with it, or ""; `newer` and
  // `newer_bytes` are of those that count.
  std::string Reason(const JobImage& image, int32_t newer, uint64_t newer_bytes,
                     absl::Time now) const;

  const RetentionLimits limits_;
};

}  // namespace ckpt::run

#endif  // CKPT_RUN_RETENTION_H_
