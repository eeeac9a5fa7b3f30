// Who is in a process tree, and who is in a cgroup and the groups below it.
//
//   CKPT_ASSIGN_OR_RETURN(const Census census,
//                         TakeStableCensus(group, proc, {.root = pid}));
//   ... later ...
//   CKPT_ASSIGN_OR_RETURN(const Census now, TakeCensus(group, proc, same));
//   if (now != census) ... somebody came, left, or moved
//
// A task is known by its number and its start time, as the kernel gives numbers
// again.  Tasks that have ended (zombies) are left out: they run no more.
#ifndef CKPT_FREEZER_CENSUS_H_
#define CKPT_FREEZER_CENSUS_H_

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/proc.h"
#include "freezer/cgroup.h"

namespace ckpt::freezer {

struct TreeOptions {
  pid_t root = 0;    // of the process tree
  pid_t except = 0;  // a process of the tree that does not count; 0: none
  // Tasks in groups below the group are in the same freeze.
  bool subtree = false;
};

struct TaskId {
  pid_t tid = 0;  // 0: of another PID namespace, without a number here
  pid_t pid = 0;
  uint64_t start_ticks = 0;

  auto operator<=>(const TaskId&) const = default;
};

struct GroupTasks {
  std::string path;           // below the group: "", "a", "a/b"
  std::vector<TaskId> tasks;  // threads, sorted

  bool operator==(const GroupTasks&) const = default;
};

struct Census {
  std::vector<TaskId> tree;  // threads, sorted
  // The group itself first; then those below that hold tasks, by path.
  std::vector<GroupTasks> groups;

  bool operator==(const Census&) const = default;

  // Sorted; those of the group itself, with `subtree` of those below as well.
  std::vector<TaskId> Members(bool subtree) const;
  // The processes of the tree, sorted.
  std::vector<pid_t> TreeProcesses() const;
};

// One look.  NotFound when the root or the group is gone; InvalidArgument when
// the exception is not of the tree.
absl::StatusOr<Census> TakeCensus(Cgroup& group, ProcFs& proc,
                                  const TreeOptions& options);

// Looks until two in a row agree: all that they list was there at one moment,
// between the two.  `stable` is false when they never did.  A frozen group
// agrees at once; a tree with tasks elsewhere may change for ever.
absl::StatusOr<Census> TakeStableCensus(Cgroup& group, ProcFs& proc,
                                        const TreeOptions& options,
                                        bool& stable);

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_CENSUS_H_
