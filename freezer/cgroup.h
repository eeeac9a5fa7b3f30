// One cgroup directory of a freezer hierarchy, held by descriptor: its identity
// is the directory itself, so a group that is removed and made anew under the
// same name is another group.
//
//   CKPT_ASSIGN_OR_RETURN(auto group, FindCgroup("job1",
//   HIERARCHY_UNSPECIFIED)); CKPT_ASSIGN_OR_RETURN(std::vector<pid_t> pids,
//   group->Processes());
//
// The interface is a seam: FakeCgroup (fake_cgroup.h) stands in for the kernel.
#ifndef CKPT_FREEZER_CGROUP_H_
#define CKPT_FREEZER_CGROUP_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/cancellation.h"
#include "base/unique_fd.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

// Not thread-safe.  A vanished directory makes every call NotFound.
class Cgroup {
 public:
  virtual ~Cgroup() = default;

  virtual v1::Hierarchy hierarchy() const = 0;
  // Absolute path at the time of opening: for messages, and for CRIU.
  virtual const std::string& path() const = 0;
  // The hierarchy's root has no freezer.
  virtual bool is_root() const = 0;
  // Inode number of the directory: no other group of the hierarchy gets it
  // again while the kernel runs.
  virtual uint64_t id() const = 0;

  // "../FILE" is the parent's, and so on up; NotFound past the mount's root.
  virtual absl::StatusOr<std::string> Read(const std::string& file) = 0;
  virtual absl::Status Write(const std::string& file,
                             absl::string_view data) = 0;

  // Returns when the group's state may have changed, or after `limit`.  v2
  // waits on cgroup.events; v1 has no event, and the whole limit passes.
  // Cancelled when `cancel` (may be null) says so.
  virtual absl::Status WaitForChange(absl::Duration limit,
                                     const Cancellation* cancel) = 0;

  // The parent group; FailedPrecondition for the root of the hierarchy, or of
  // the mount.
  virtual absl::StatusOr<std::unique_ptr<Cgroup>> Parent() = 0;
  // Groups right below.
  virtual absl::StatusOr<std::vector<std::unique_ptr<Cgroup>>> Children() = 0;

  // Takes the group's checkpoint lock: flock() on the directory, held until the
  // descriptor and all its copies are closed.  Unavailable when another holds
  // it; the message names the holder where it can be known.
  virtual absl::StatusOr<UniqueFd> Lock() = 0;
  // Who holds the lock now; 0: nobody.
  virtual pid_t LockHolder() = 0;
  // The directory, for who will flock() it later.
  virtual absl::StatusOr<UniqueFd> OpenForLock() = 0;
  // A descriptor of one of the group's files, for a LastWill or a child
  // process.
  virtual absl::StatusOr<UniqueFd> OpenForWrite(const std::string& file) = 0;
  virtual absl::StatusOr<UniqueFd> OpenForRead(const std::string& file) = 0;

  // Below: the same for every implementation.

  // Processes of this group itself (cgroup.procs; zombies are not in it).  Of a
  // v2 group of threads: those that have a thread in it.
  absl::StatusOr<std::vector<pid_t>> Processes();
  // Threads of this group itself.
  absl::StatusOr<std::vector<pid_t>> Threads();
  // Moves a process, with all its threads, into this group.
  absl::Status AddProcess(pid_t pid);
  // The list of processes: written to by who wants to be in it, read by who
  // wants to know.  Read it once: v1 goes on giving what it gave first.
  absl::StatusOr<UniqueFd> OpenProcsForWrite();
  absl::StatusOr<UniqueFd> OpenProcsForRead();
  // Processes of this group and all groups below it, each once.
  absl::StatusOr<std::vector<pid_t>> SubtreeProcesses();
};

// Opens a cgroup directory by its path.  NotFound; InvalidArgument when it is
// no directory of a v1 freezer or a v2 hierarchy.
absl::StatusOr<std::unique_ptr<Cgroup>> OpenCgroup(const std::string& path);

// FailedPrecondition for what is never frozen, killed or dumped: the root
// group, and a group that holds the calling process (itself or in a group
// below).
absl::Status CheckMayTouch(Cgroup& group);

// Where the hierarchies are mounted; "" when they are not.
struct HierarchyMounts {
  std::string v1_freezer;
  std::string v2;
};
absl::StatusOr<HierarchyMounts> FindHierarchyMounts();

// Removes the directory of an empty group.  Waits for killed tasks to leave, up
// to `limit`; Unavailable when some stay, Cancelled when `cancel` says so.
absl::Status RemoveCgroup(const std::string& path, absl::Duration limit,
                          const Cancellation* cancel = nullptr);

// "v1" or "v2".
absl::string_view HierarchyName(v1::Hierarchy hierarchy);

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_CGROUP_H_
