// A process that cleans the cgroups of a test when the test dies; the part of
// TestCgroup that outlives its test.
#ifndef CKPT_TESTS_SUPPORT_CGROUP_GUARD_H_
#define CKPT_TESTS_SUPPORT_CGROUP_GUARD_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace ckpt {

// Makes sure that the calling process has a guard: a child in a session of its
// own that waits for the caller's death, and then removes every group below
// `roots` whose name begins with `prefix`.  Signals that would end the caller
// have the guard do so first, and then take the effect that they had before.
//
// Called again by the same process: no effect.  By a forked child: it gets a
// guard of its own.  Codes: those of the failing system call.
absl::Status EnsureCgroupGuard(const std::vector<std::string>& roots,
                               const std::string& prefix);

// Pid of the caller's guard, or -1.
pid_t CgroupGuardPidForTest();

// Groups directly below `root` whose name begins with `prefix`.
std::vector<std::string> CgroupsNamed(const std::string& root,
                                      const std::string& prefix);

}  // namespace ckpt

#endif  // CKPT_TESTS_SUPPORT_CGROUP_GUARD_H_
