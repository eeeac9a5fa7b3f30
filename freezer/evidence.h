// Who keeps a group from freezing.  There is no flag of the kernel for it; the
// evidence is each thread's state and the kernel function it sleeps in.
//
//   BlockerWatch watch(group, proc, clock);
//   ... ask for the freeze ...
//   watch.Look();      // soon after
//   ... wait in vain ...
//   for (const v1::TaskInfo& task : watch.FindBlockers()) ...
//
// v1: a frozen thread shows state D, so whatever shows another state is not
// frozen.  If all show D, those are meant that sleep in none of the kernel's
// freezable waits (which a frozen thread does not leave: futex, nanosleep ...).
// v2: a frozen thread sleeps in get_signal or do_freezer_trap; stopped and
// traced threads (T, t), and the parent in a vfork(), count as frozen.
#ifndef CKPT_FREEZER_EVIDENCE_H_
#define CKPT_FREEZER_EVIDENCE_H_

#include <sys/types.h>

#include <map>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/proc.h"
#include "freezer/cgroup.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

// tid, pid, comm and state.  NotFound when the thread has ended.
absl::StatusOr<v1::TaskInfo> DescribeThread(ProcFs& proc, pid_t tid);

// Every thread of `group`, whose state is `state`, and of the groups below it:
// with wchan (where the caller may see it), `frozen`, and the group if it is
// one below.  Three files of /proc a thread: not for between freeze and thaw.
std::vector<v1::TaskInfo> DescribeTasks(Cgroup& group, ProcFs& proc,
                                        v1::FreezerState state);

// A sleeping thread of which the kernel does not tell what it waits in: it is
// about to run, or the caller is not root.
enum class UntoldWait { kIsNotFrozen, kIsBelieved };

// Whether the threads of this v2 group alone, not of those below, look frozen.
bool OwnThreadsLookFrozen(Cgroup& group, ProcFs& proc, UntoldWait untold);

// Watches a group, and those below it, that are asked to freeze.  Not
// thread-safe.  Borrows all three for its lifetime.
class BlockerWatch {
 public:
  BlockerWatch(Cgroup& group, ProcFs& proc, Clock& clock)
      : group_(group), proc_(proc), clock_(clock) {}

  // Notes who is not frozen now.
  void Look();

  // The threads that are not frozen in two looks in a row, with wchan, system
  // call, the top of the kernel stack, and for how long it has been so: since
  // the first Look() that saw them, and since they last ran.
  std::vector<v1::TaskInfo> FindBlockers();

 private:
  struct Suspect {
    absl::Time since;
    bool certain = false;  // not one of v1's that show D
    std::string cgroup;    // "" for the group itself
  };

  std::map<pid_t, Suspect> LookAt(Cgroup& group, bool below);

  Cgroup& group_;
  ProcFs& proc_;
  Clock& clock_;
  std::map<pid_t, Suspect> suspects_;  // of the last look
};

// The same of now alone, without a watch from the request on.
std::vector<v1::TaskInfo> FindBlockers(Cgroup& group, ProcFs& proc);

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_EVIDENCE_H_
