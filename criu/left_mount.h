// Removes what a CRIU that was killed in a dump can leave in a job's working
// directory.
//
//   RemoveLeftMounts(pid);   // before CRIU is asked to dump it
//
// A task of a PID namespace that does not see a /proc of it gets one for a
// moment, from the code that CRIU puts into it: the directory "proc.crtools" in
// the task's working directory, mounted, opened, unmounted and removed
// (criu/pie/parasite.c).  If all are killed in that moment it stays, and each
// later dump of a task that works there fails, as it cannot make it.
#ifndef CKPT_CRIU_LEFT_MOUNT_H_
#define CKPT_CRIU_LEFT_MOUNT_H_

#include <sys/types.h>

#include <string>

#include "absl/time/time.h"

namespace ckpt::criu {

// A directory that is younger than this may be another dump's.
inline constexpr absl::Duration kMountLimit = absl::Seconds(1);

// Of `directory`, unless it may be in use: a mounted /proc goes when no process
// is left in its PID namespace, an empty directory when it is older than
// kMountLimit at `now`, a wall-clock time.  Whatever cannot be removed stays;
// CRIU tells then.  Returns whether something was removed.
bool RemoveLeftMount(const std::string& directory, absl::Time now);

// Of the working directories of the tree below `root`.
void RemoveLeftMounts(pid_t root);

}  // namespace ckpt::criu

#endif  // CKPT_CRIU_LEFT_MOUNT_H_
