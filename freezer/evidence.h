// Who keeps a group from freezing.  There is no flag of the kernel for it; the
// evidence is each thread's state and the kernel function it sleeps in.
#ifndef CKPT_FREEZER_EVIDENCE_H_
#define CKPT_FREEZER_EVIDENCE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "base/proc.h"
#include "freezer/cgroup.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

// tid, pid, comm and state.  NotFound when the thread has ended.
absl::StatusOr<v1::TaskInfo> DescribeThread(ProcFs& proc, pid_t tid);

// The threads of `group` that are not frozen though they should be, in two
// looks in a row, with wchan, system call and the top of the kernel stack.
//
// v1: a frozen thread shows state D, so whatever shows another state is not
// frozen.  If all show D, those are meant that sleep in none of the kernel's
// freezable waits (which a frozen thread does not leave: futex, nanosleep ...).
// v2: a frozen thread sleeps in get_signal or do_freezer_trap; stopped and
// traced threads (T, t), and the parent in a vfork(), count as frozen.
std::vector<v1::TaskInfo> FindBlockers(Cgroup& group, ProcFs& proc);

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_EVIDENCE_H_
