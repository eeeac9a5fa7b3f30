// Programs that tests start: long-lived jobs in cgroups, and commands with an
// end.
//
//   BecomeReaper();
//   Job::Options options;
//   options.argv = spec.CommandLine(dir.File("status"));
//   options.cgroups = {group.get()};
//   CKPT_ASSIGN_OR_RETURN(Job job, Job::Start(options));
//   ...
//   CKPT_ASSIGN_OR_RETURN(CommandResult result,
//                         RunCommand({criu, "dump", "-t", ...}));
//   CKPT_RETURN_IF_ERROR(WaitUntilGone(tree, deadline));
//
// A zombie's pid blocks a restore, and the tasks of a dumped tree become
// orphans: BecomeReaper() makes the test their new parent, so that they are
// reaped as soon as the test asks for it, not when PID 1 gets to it.
//
// Nothing here kills a job: its TestCgroup does, whatever the job has become
// meanwhile.
#ifndef CKPT_TESTS_SUPPORT_JOB_H_
#define CKPT_TESTS_SUPPORT_JOB_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/clock.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {

// Makes the calling process the one that orphans below it are given to
// (PR_SET_CHILD_SUBREAPER).  Idempotent.
void BecomeReaper();

// Reaps every child that is dead now, those of RunCommand and of the caller's
// own fork() included; returns their pids.
std::vector<pid_t> ReapAll();

// Waits until none of `pids` is held by anybody, zombies included: as a process
// or thread, or as the number of a process group or session (which a zombie
// child of a job that nobody has reaped is enough for).  Reaps holders that are
// children of the caller.  DeadlineExceeded names one that is left.
absl::Status WaitUntilGone(absl::Span<const pid_t> pids, absl::Time deadline,
                           Clock& clock = Clock::Real());

// Value type: the pid of a started program.
class Job {
 public:
  struct Options {
    std::vector<std::string> argv;  // argv[0] is the program's path
    std::vector<std::string> env;   // "NAME=VALUE", nothing else is passed
    std::vector<const TestCgroup*> cgroups;  // joined before the exec
    std::string output_path = "/dev/null";   // stdout and stderr, appended
    pid_t namespaces_of = 0;  // run in all namespaces of that process
  };

  // Starts argv as a session leader, orphaned (its parent is the reaper), with
  // stdin on /dev/null and no other descriptor.  Returns when the exec has
  // succeeded.  Codes: those of the failing system call.
  static absl::StatusOr<Job> Start(const Options& options);

  // Of the root process, which keeps it over dump and restore; in the PID
  // namespace that it runs in.
  pid_t pid() const { return pid_; }

  // The root and all its descendants now; NotFound when it is gone.  For a job
  // in the caller's PID namespace only.
  absl::StatusOr<std::vector<pid_t>> Tree() const;

 private:
  explicit Job(pid_t pid) : pid_(pid) {}
  pid_t pid_;
};

struct CommandOptions {
  std::vector<std::string> env;  // "NAME=VALUE", added to the test's own
  std::vector<const TestCgroup*> cgroups;  // joined before the exec
  absl::Duration timeout = absl::Seconds(60);
};

struct CommandResult {
  int exit_status = 0;  // 128 + N when signal N ended it
  std::string out;
  std::string err;
};

// Runs argv (argv[0] is looked up in PATH) with stdin on /dev/null, and returns
// when it has ended.  What it leaves running keeps nobody waiting; the command
// itself is killed when the test dies.  A status is an error only when the
// command could not be run (NotFound, ...), or did not end in time
// (DeadlineExceeded; its session is killed, the message has its output).
absl::StatusOr<CommandResult> RunCommand(const std::vector<std::string>& argv,
                                         const CommandOptions& options = {});

}  // namespace ckpt

#endif  // CKPT_TESTS_SUPPORT_JOB_H_
