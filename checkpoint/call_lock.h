// Keeps two from serving the same job's call, whoever has started them.
//
//   CKPT_ASSIGN_OR_RETURN(const UniqueFd lock, LockCall(pid, waits));
//
// A service may be killed while the dump that it has started goes on; the job
// asks the next one again, which starts another dump.  The lock goes with its
// holder, and with the holder's guardian.
#ifndef CKPT_CHECKPOINT_CALL_LOCK_H_
#define CKPT_CHECKPOINT_CALL_LOCK_H_

#include <sys/types.h>

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace ckpt::checkpoint {

// Waits until nobody else serves the calls of that process; gives up with the
// error of `still_waited_for`, which is called now and then.
absl::StatusOr<UniqueFd> LockCall(
    pid_t pid, const std::function<absl::Status()>& still_waited_for);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_CALL_LOCK_H_
