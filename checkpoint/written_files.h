// The files that a job writes to, with their sizes at the moment of the dump.
//
//   DescribeWrittenFiles(proc, tree, *manifest.mutable_job());
//
// They are not in the image, and may have grown when it is restored: a job that
// was left running goes on writing.  With the sizes a restore can cut them back
// (restore/written_files.h).  CRIU records sizes too, but not those of files
// that are open for appending only.
#ifndef CKPT_CHECKPOINT_WRITTEN_FILES_H_
#define CKPT_CHECKPOINT_WRITTEN_FILES_H_

#include <sys/types.h>

#include <vector>

#include "base/proc.h"
#include "proto/image.pb.h"

namespace ckpt::checkpoint {

// Adds to `job` every regular file that has a name and that a process of `tree`
// has open for writing; by path.  To be called while none of them runs.  What
// cannot be looked at is left out.
void DescribeWrittenFiles(ProcFs& proc, const std::vector<pid_t>& tree,
                          v1::ManifestJob& job);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_WRITTEN_FILES_H_
