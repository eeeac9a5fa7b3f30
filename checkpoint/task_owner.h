// Whose tasks are, for callers that may only have their own checkpointed.
//
//   CKPT_RETURN_IF_ERROR(CheckOwner(ProcFs::Real(), tree, uid));
//
// Caveat: what is true of a running task need not be a moment later (it may
// execute a setuid program, or have another child).  It lasts while CRIU holds
// the tasks: look before, and again then.
#ifndef CKPT_CHECKPOINT_TASK_OWNER_H_
#define CKPT_CHECKPOINT_TASK_OWNER_H_

#include <sys/types.h>

#include <vector>

#include "absl/status/status.h"
#include "base/proc.h"

namespace ckpt::checkpoint {

// Whether every thread of the processes is this user's alone: real, effective,
// saved and file system user id, in our user namespace.  Those that have ended
// are passed over.  PermissionDenied names one that is not.
absl::Status CheckOwner(ProcFs& proc, const std::vector<pid_t>& pids,
                        uid_t uid);

// Whether all processes are in the PID namespace of process `asker` or in one
// below it.  Those that have ended are passed over.  PermissionDenied names one
// that is not.
absl::Status CheckPidNamespace(ProcFs& proc, const std::vector<pid_t>& pids,
                               pid_t asker);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_TASK_OWNER_H_
