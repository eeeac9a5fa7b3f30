// What a socket is and is connected to, from a descriptor of it.
#ifndef CKPT_CHECKPOINT_SOCKET_FACTS_H_
#define CKPT_CHECKPOINT_SOCKET_FACTS_H_

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "checkpoint/job_files.h"

namespace ckpt::checkpoint {

// Of the socket that `fd` is; `owner` is a process in whose network namespace
// the kernel knows it.  Changes nothing, and reads nothing away.  The file
// system's errors; InvalidArgument when it is no socket.
absl::StatusOr<SocketFacts> ReadSocketFacts(int fd, pid_t owner);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_SOCKET_FACTS_H_
