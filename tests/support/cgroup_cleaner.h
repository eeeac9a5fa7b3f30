// Ends everything in a cgroup, frozen or not, and removes it.
//
// Used on the way out, where nothing can be reported to anybody: errors are
// overcome by trying again until the time is up.
#ifndef CKPT_TESTS_SUPPORT_CGROUP_CLEANER_H_
#define CKPT_TESTS_SUPPORT_CGROUP_CLEANER_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/clock.h"

namespace ckpt {

// Every group of a test is in one whose name begins so.
inline constexpr char kTestCgroupPrefix[] = "ckpt-test-";

// `path` and all groups below it, each before those in it.
std::vector<std::string> CgroupsBelow(const std::string& path);

// What cgroup.procs of one group lists and can be named in this PID namespace;
// nothing when the group is gone.
std::vector<pid_t> ProcessesOfCgroup(const std::string& path);

// Thaws one group, of v1 or v2; no effect on its ancestors and descendants.
void ThawCgroup(const std::string& path);

// Thaws one group and those of its ancestors that belong to a test.
void ThawWithTestAncestors(const std::string& path);

// Thaws the subtree, kills every process in it until none is left, and removes
// its groups.  False when it is still there at `deadline`.
bool RemoveCgroup(const std::string& path, absl::Time deadline,
                  Clock& clock = Clock::Real());

}  // namespace ckpt

#endif  // CKPT_TESTS_SUPPORT_CGROUP_CLEANER_H_
