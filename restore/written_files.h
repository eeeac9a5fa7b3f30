// Files that the job had open for writing, and that have grown since its image
// was made: a job that was left running went on writing, or another copy did.
//
//   CKPT_ASSIGN_OR_RETURN(
//       const std::vector<v1::CutFile> cuts,
//       PlanOutput(manifest.job(), root, v1::OUTPUT_POLICY_TRUNCATE));
//   ... every other check ...
//   CKPT_RETURN_IF_ERROR(CutBack(root, cuts));
//
// The job's user may have replaced its files, or directories above them, by
// links to others' meanwhile: no link below `root` is followed to cut a file.
//
// Thread-safe.
#ifndef CKPT_RESTORE_WRITTEN_FILES_H_
#define CKPT_RESTORE_WRITTEN_FILES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/checkpoint.pb.h"
#include "proto/image.pb.h"

namespace ckpt::restore {

// What the policy does to the files that have grown; touches nothing.  Paths
// have `root` (--root, or "") in front.  Files that are missing are for
// CheckFiles() to name.
//   FailedPrecondition: the policy refuses (file and sizes are named); a file
//     is shorter than it was, so that the job's output is lost; or one that is
//     to be cut is behind a symbolic link
absl::StatusOr<std::vector<v1::CutFile>> PlanOutput(const v1::ManifestJob& job,
                                                    const std::string& root,
                                                    v1::OutputPolicy policy);

// Cuts each to its `to_bytes`.  The error of the first that cannot be; those
// before it are cut.  FailedPrecondition: it is not the file that was planned.
absl::Status CutBack(const std::string& root,
                     const std::vector<v1::CutFile>& cuts);

}  // namespace ckpt::restore

#endif  // CKPT_RESTORE_WRITTEN_FILES_H_
