// Finding groups: by name, by path, by process; and where the hierarchies are.
#ifndef CKPT_FREEZER_LOOKUP_H_
#define CKPT_FREEZER_LOOKUP_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "freezer/cgroup.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

// `name` is an absolute path below a cgroup mount, or a name (may hold slashes)
// that is looked up in the v2 hierarchy, then in the v1 freezer hierarchy, or
// only in the one that `hierarchy` says.  NotFound lists where it looked.
absl::StatusOr<std::unique_ptr<Cgroup>> FindCgroup(const std::string& name,
                                                   v1::Hierarchy hierarchy);

// As FindCgroup, but makes the group where it does not exist (a name: in the
// first hierarchy that is there), and those above it that are missing.  `made`
// are the paths of all that were made, from above, also on failure to make all.
absl::StatusOr<std::unique_ptr<Cgroup>> FindOrCreateCgroup(
    const std::string& name, v1::Hierarchy hierarchy,
    std::vector<std::string>& made);

// Removes them again; errors of RemoveCgroup(), `limit` for each.
absl::Status RemoveMadeCgroups(const std::vector<std::string>& made,
                               absl::Duration limit = absl::ZeroDuration());

// The directory that FindOrCreateCgroup() finds, or would make.
absl::StatusOr<std::string> PathForCgroup(const std::string& name,
                                          v1::Hierarchy hierarchy);

// The group that `pid` is in, in the given hierarchy.
absl::StatusOr<std::unique_ptr<Cgroup>> CgroupOf(pid_t pid,
                                                 v1::Hierarchy hierarchy);

// The path of `group` below its hierarchy's mount point, e.g. "/jobs/a".
absl::StatusOr<std::string> PathInHierarchy(const Cgroup& group);
// The same for a directory, which need not exist.  InvalidArgument when it is
// in no hierarchy.
absl::StatusOr<std::string> PathInHierarchy(const std::string& directory);

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_LOOKUP_H_
