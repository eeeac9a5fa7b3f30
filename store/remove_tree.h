// Removes a directory of ours with what is in it, and nothing else.
//
//   CKPT_RETURN_IF_ERROR(RemoveTree(parent_fd, ".ckpt-pending-job7-x1y2z3"));
//
// A CRIU that was killed early may have left file systems mounted in there (its
// .criu.cgyard.* holds live cgroup mounts, in which a plain rm -rf would remove
// other people's empty cgroups).  They are detached first, and a directory on
// another mount is never entered.
#ifndef CKPT_STORE_REMOVE_TREE_H_
#define CKPT_STORE_REMOVE_TREE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ckpt {

// Removes the directory `name` (no path) of `parent_fd`.  OK if there is none.
// Goes on after an error, and returns the first.  Symbolic links are removed,
// never followed. FailedPrecondition: something is still mounted in there; that
// stays. PermissionDenied, Internal, ...: as the file system says. Thread-safe.
absl::Status RemoveTree(int parent_fd, const std::string& name);

// The places below `directory` where something is mounted, in the order of
// `mountinfo` (the text of /proc/self/mountinfo, which see proc(5)).
std::vector<std::string> MountPointsBelow(absl::string_view mountinfo,
                                          absl::string_view directory);

}  // namespace ckpt

#endif  // CKPT_STORE_REMOVE_TREE_H_
