// The first process of a test node.
#ifndef CKPT_TESTS_NODE_NODE_INIT_H_
#define CKPT_TESTS_NODE_NODE_INIT_H_

#include <sys/types.h>

#include "absl/status/statusor.h"

namespace ckpt {

// Starts the init of node `number` in namespaces of its own, and returns its
// pid when the node is set up, but for its network.  Pids in the node begin
// above `first_pid`.
//
// The init is a child of the caller.  It reaps what it inherits and does
// nothing else; when it dies the kernel kills the whole node.  It dies with the
// calling thread, or by SIGKILL from outside.
absl::StatusOr<pid_t> StartNodeInit(int number, pid_t first_pid);

// Starts a process that does nothing but hold a network namespace of its own;
// it dies as the others do.
absl::StatusOr<pid_t> StartNetworkHolder();

// What /proc/PID/comm of them says: "ckpt-node-NUMBER", "ckpt-switch".
inline constexpr char kNodeCommPrefix[] = "ckpt-node-";
inline constexpr char kHolderComm[] = "ckpt-switch";

}  // namespace ckpt

#endif  // CKPT_TESTS_NODE_NODE_INIT_H_
