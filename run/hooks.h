// Scripts of the user that run around checkpoints and restores of a job.
//
//   CKPT_ASSIGN_OR_RETURN(
//       const Hooks hooks,
//       Hooks::Open({.directory = "/etc/ckpt/hooks", .job = "render"}));
//   CKPT_RETURN_IF_ERROR(hooks.Run(Hook::kPreDump, {.image = "render.7"}));
//   const absl::Status status = Dump(...);
//   ... hooks.Run(Hook::kPostDump, {.image = "render.7", .outcome = status});
//
// They are the executable files pre-dump, post-dump, pre-restore and
// post-restore of a directory; one that is not there is passed by.  They run
// outside of the job, in a process group of their own, which is killed at the
// time limit, and when the script has ended.  What they print goes to our
// standard error; their standard input is /dev/null.
//
// Environment: ours, and CKPT_HOOK, CKPT_JOB, CKPT_STORE, CKPT_IMAGE,
// CKPT_RESTARTED (successful restores so far), and for post-*, CKPT_ERROR: what
// failed, empty if nothing did.
//
// Caveat: Run() waits for the script, and for nothing else.
#ifndef CKPT_RUN_HOOKS_H_
#define CKPT_RUN_HOOKS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ckpt::run {

// A batch system grants about 30 s from SIGTERM to SIGKILL, and two hooks and a
// checkpoint are to have room in that.
inline constexpr absl::Duration kDefaultHookTimeout = absl::Seconds(10);

enum class Hook { kPreDump, kPostDump, kPreRestore, kPostRestore };

struct HookOptions {
  std::string directory;  // "": no hooks
  absl::Duration timeout = kDefaultHookTimeout;
};

struct HookFacts {
  std::string image;
  int32_t restarts = 0;
  absl::Status outcome = absl::OkStatus();  // for post-*
};

// Thread-safe.
class Hooks {
 public:
  // NotFound: there is no such directory.  FailedPrecondition: a file with the
  // name of a hook is not executable.
  static absl::StatusOr<Hooks> Open(const HookOptions& options,
                                    const std::string& job,
                                    const std::string& store);

  // OK when there is no such hook, or it ended with exit status 0.
  //   FailedPrecondition  it ended otherwise
  //   DeadlineExceeded    it was killed at the time limit
  //   errors of posix_spawn(3)
  absl::Status Run(Hook hook, const HookFacts& facts) const;

 private:
  Hooks(HookOptions options, std::string job, std::string store)
      : options_(std::move(options)),
        job_(std::move(job)),
        store_(std::move(store)) {}

  std::vector<std::string> Environment(Hook hook, const HookFacts& facts) const;

  HookOptions options_;
  std::string job_;
  std::string store_;
};

}  // namespace ckpt::run

#endif  // CKPT_RUN_HOOKS_H_
