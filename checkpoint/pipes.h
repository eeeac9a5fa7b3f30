// Pipes that lead out of a job (`job | logger`).
//
// CRIU dumps and restores them without complaint, with nobody at the other end:
// the restored job reads end-of-file, or dies of SIGPIPE.  So they are refused
// unless the caller says that it knows: `--external pipe:[INODE]` at the dump,
// and `--inherit-fd fd[N]:pipe:[INODE]` at the restore (CRIU's own spelling of
// the latter; the former is ckpt's, and CRIU does not get to see it).
#ifndef CKPT_CHECKPOINT_PIPES_H_
#define CKPT_CHECKPOINT_PIPES_H_

#include <sys/types.h>

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "base/proc.h"
#include "proto/check.pb.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::checkpoint {

// A finding, with the process, the descriptor, the pipe and who has its other
// end, when a process of `tree` has one end of a pipe, none of the tree has the
// other one, and a process outside has, and options.external does not list the
// pipe.  A pipe whose other end is closed is no matter.
//
// Processes outside are looked at only if there is a pipe in question.
absl::StatusOr<absl::optional<v1::CheckFinding>> FindOutsidePipe(
    ProcFs& proc, const std::vector<pid_t>& tree,
    const v1::CriuOptions& options);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_PIPES_H_
