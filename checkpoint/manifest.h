// The part of an image's manifest that tells where it came from.
#ifndef CKPT_CHECKPOINT_MANIFEST_H_
#define CKPT_CHECKPOINT_MANIFEST_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/proc.h"
#include "checkpoint/job.h"
#include "freezer/census.h"
#include "proto/checkpoint.pb.h"
#include "proto/image.pb.h"

namespace ckpt::checkpoint {

// Everything known before the dump: host, job, options.  Errors of reading
// /proc leave fields empty; only an unreadable hierarchy is an error.
absl::StatusOr<v1::Manifest> DescribeJob(const v1::DumpRequest& request,
                                         const Job& job, ProcFs& proc,
                                         const std::string& criu_version);

// Which groups below the job's own its processes are in, as the census shows.
// FailedPrecondition when a process has threads in several (cgroup v1): a
// restore could not put them back.
absl::Status RecordGroups(const freezer::Census& census, ProcFs& proc,
                          v1::ManifestJob& job);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_MANIFEST_H_
