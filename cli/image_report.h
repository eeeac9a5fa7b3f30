// Images as reports.
#ifndef CKPT_CLI_IMAGE_REPORT_H_
#define CKPT_CLI_IMAGE_REPORT_H_

#include "absl/status/statusor.h"
#include "proto/checkpoint.pb.h"
#include "store/image_store.h"

namespace ckpt::cli {

// For `ckpt list`: what the manifest tells.
v1::ImageReport SummarizeImage(const ImageSummary& summary);

// For `ckpt show`: also what CRIU's files tell.  DataLoss if one is damaged.
absl::StatusOr<v1::ImageReport> DescribeImage(const Image& image);

}  // namespace ckpt::cli

#endif  // CKPT_CLI_IMAGE_REPORT_H_
