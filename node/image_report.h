// Images as reports.
#ifndef CKPT_NODE_IMAGE_REPORT_H_
#define CKPT_NODE_IMAGE_REPORT_H_

#include "absl/status/statusor.h"
#include "proto/checkpoint.pb.h"
#include "store/image_store.h"

namespace ckpt::node {

// For `ckpt list`: what the manifest tells.
v1::ImageReport SummarizeImage(const ImageSummary& summary);

// For `ckpt show`: also what CRIU's files tell.  DataLoss if one is damaged.
absl::StatusOr<v1::ImageReport> DescribeImage(const Image& image);

}  // namespace ckpt::node

#endif  // CKPT_NODE_IMAGE_REPORT_H_
