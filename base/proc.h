// What /proc tells about tasks, behind a seam that a fake can stand in for.
//
//   ProcFs& proc = ProcFs::Real();
//   CKPT_ASSIGN_OR_RETURN(ThreadStat stat, proc.Stat(tid));
//
// Everything is a snapshot: a task may have ended by the time you read it, and
// then the answer is NotFound.  Callers that need a stable picture freeze
// first.
#ifndef CKPT_BASE_PROC_H_
#define CKPT_BASE_PROC_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ckpt {

// From /proc/TID/stat and status (proc(5)).
struct ThreadStat {
  pid_t tid = 0;
  pid_t pid = 0;   // thread group
  pid_t ppid = 0;  // 0: parent outside this PID namespace
  pid_t pgid = 0;
  pid_t sid = 0;
  char state = '?';          // R S D T t Z X I
  uint64_t start_ticks = 0;  // start time; with tid, names a task for good
  std::string comm;
};

// One of /proc/PID/fd.
struct OpenFile {
  int fd = -1;
  std::string target;  // "/dev/null", "pipe:[123]", ...
};

// Thread-safe.
class ProcFs {
 public:
  virtual ~ProcFs() = default;

  // Codes of all: NotFound when the task is gone, PermissionDenied.
  virtual absl::StatusOr<ThreadStat> Stat(pid_t tid) = 0;
  virtual absl::StatusOr<std::vector<pid_t>> Threads(pid_t pid) = 0;
  // Stat() of each of them that is still there, by tid; reads less for it.
  virtual absl::StatusOr<std::vector<ThreadStat>> ThreadStats(pid_t pid);
  // Children of all threads of `pid`, zombies included.
  virtual absl::StatusOr<std::vector<pid_t>> Children(pid_t pid) = 0;
  // Every process of the PID namespace.
  virtual absl::StatusOr<std::vector<pid_t>> Processes() = 0;
  // A value of /proc/TID/status, for example "TracerPid" or "Uid"; "" if
  // absent.
  virtual absl::StatusOr<std::string> StatusField(pid_t tid,
                                                  absl::string_view key) = 0;
  // Contents of /proc/TID/NAME: wchan, syscall, stack, cgroup, cmdline ...
  virtual absl::StatusOr<std::string> Read(pid_t tid,
                                           const std::string& name) = 0;
  // By descriptor.
  virtual absl::StatusOr<std::vector<OpenFile>> OpenFiles(pid_t pid) = 0;

  // The real one; never destroyed.
  static ProcFs& Real();
};

// Parses a line of /proc/TID/stat.  InvalidArgument when it is none.
absl::StatusOr<ThreadStat> ParseStat(absl::string_view line);

// `root` and all its descendants, each before its children.  Tasks that end
// during the walk are left out.  NotFound when `root` itself is gone.
absl::StatusOr<std::vector<pid_t>> ProcessTree(ProcFs& proc, pid_t root);

// The number of `pid` in the innermost PID namespace that it is in, which is
// the one that CRIU writes into images.  `pid` itself when it is gone.
pid_t InnermostPid(ProcFs& proc, pid_t pid);

// "123 (comm)", or "123" when the task is gone: for messages.
std::string DescribeTask(ProcFs& proc, pid_t tid);

}  // namespace ckpt

#endif  // CKPT_BASE_PROC_H_
