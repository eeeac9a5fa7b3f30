// Starts a job so that it can always be checkpointed: in a cgroup, in a PID
// namespace of its own, with no descriptor that leads out of it but files.
//
//   CKPT_ASSIGN_OR_RETURN(const std::string program, FindProgram("xz"));
//   CKPT_ASSIGN_OR_RETURN(
//       const pid_t root,
//       Launch({.program = program, .argv = {"xz", "-9", "big"}, ...}));
//   ... ::waitpid(root, ...) ...
//
// Process 1 of the namespace is a small init (init.c), which reaps orphans,
// hands signals on to the command's process group, and ends with the command's
// exit status (128 + N for signal N).  When it ends, the kernel ends all that
// is left in the namespace.
//
// Caveat: the job has the host's /proc, in which its processes have other
// numbers than they know: a mount namespace, which would give it one of its
// own, cannot be dumped unless the whole root file system is its own too.
#ifndef CKPT_RUN_LAUNCHER_H_
#define CKPT_RUN_LAUNCHER_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "freezer/cgroup.h"

namespace ckpt::run {

struct LaunchOptions {
  std::string program;               // path; see FindProgram()
  std::vector<std::string> argv;     // as the program sees it
  std::vector<std::string> env;      // "NAME=VALUE", nothing else is passed
  freezer::Cgroup* group = nullptr;  // joined before anything of it runs
  // Files for standard output and error: made if need be, and appended to.
  // Standard input is /dev/null.
  std::string output;
  std::string error_output;
  // A directory, for the moment of the start, for the init's program file.  It
  // must allow execution.
  std::string directory;
};

// Starts it, as a child of the caller, which has to reap it.  Returns its pid
// once the init runs; a program that cannot be executed is seen by exit status
// 126 or 127.  On failure nothing runs.
//   ResourceExhausted, PermissionDenied, NotFound: of a file, or of the fork
absl::StatusOr<pid_t> Launch(const LaunchOptions& options);

// The path of a program: `name` itself if it has a slash, else the first
// executable of that name in PATH.
//   NotFound: there is none; the message lists PATH, or names the file
//   PermissionDenied: there is one, and it cannot be executed
absl::StatusOr<std::string> FindProgram(const std::string& name);

}  // namespace ckpt::run

#endif  // CKPT_RUN_LAUNCHER_H_
