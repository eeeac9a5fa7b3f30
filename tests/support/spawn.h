// What every child forked by the test support does before it becomes something
// else.  All functions are for the child, between fork() and exec(), and
// async-signal-safe: what they need is made before the fork.
#ifndef CKPT_TESTS_SUPPORT_SPAWN_H_
#define CKPT_TESTS_SUPPORT_SPAWN_H_

#include <string>
#include <vector>

#include "tests/support/test_cgroup.h"

namespace ckpt {

// cgroup.procs of each.
std::vector<std::string> ProcsPaths(
    const std::vector<const TestCgroup*>& cgroups);

// Moves the calling process into every group; errno is set when it is false.
bool JoinCgroups(const std::vector<std::string>& procs_paths);

// Default dispositions and no signal blocked.
void ResetSignals();

// NULL-terminated, pointing into `strings`.
std::vector<char*> Pointers(const std::vector<std::string>& strings);

}  // namespace ckpt

#endif  // CKPT_TESTS_SUPPORT_SPAWN_H_
