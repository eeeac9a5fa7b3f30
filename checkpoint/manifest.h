// The part of an image's manifest that tells where it came from.
#ifndef CKPT_CHECKPOINT_MANIFEST_H_
#define CKPT_CHECKPOINT_MANIFEST_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/proc.h"
#include "checkpoint/job.h"
#include "proto/checkpoint.pb.h"
#include "proto/image.pb.h"

namespace ckpt::checkpoint {

// Everything known before the dump: host, job, options.  Errors of reading
// /proc leave fields empty; only an unreadable hierarchy is an error.
absl::StatusOr<v1::Manifest> DescribeJob(const v1::DumpRequest& request,
                                         const Job& job, ProcFs& proc,
                                         const std::string& criu_version);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_MANIFEST_H_
