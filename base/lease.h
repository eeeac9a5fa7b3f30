// A process of its own that carries out steps at a given time, unless it is
// called off before.
//
//   Lease lease({.end = BootTime() + absl::Minutes(10),
//                .token_fd = entry, .lock_fd = group_directory,
//                .alive_file = "cgroup.procs"});
//   lease.at_end().AddWrite(freeze_fd, "0");
//   CKPT_RETURN_IF_ERROR(lease.Start());
//
// It ends with nothing done as soon as the token, a file, has no name any more:
// whoever removes it or puts another in its place calls the lease off, without
// having to know the process.  Before the steps are carried out it takes a
// flock() on `lock_fd`, waiting for it, and looks at the token once more: who
// calls it off under that lock cannot come too late.
//
// The process is a daemon: no child of the caller, no terminal, no working
// directory, no descriptor but its own.  It ignores SIGINT and SIGHUP and ends
// by SIGTERM.  Time is CLOCK_BOOTTIME, which goes on while the machine is
// suspended.
//
// Thread-compatible.
#ifndef CKPT_BASE_LEASE_H_
#define CKPT_BASE_LEASE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/prepared_steps.h"

namespace ckpt {

// Since the machine was started, suspends included.
absl::Duration BootTime();

class Lease {
 public:
  struct Options {
    absl::Duration end;      // on BootTime()
    int token_fd = -1;       // a file
    int lock_fd = -1;        // a directory, opened for this lease alone
    std::string alive_file;  // in `lock_fd`: without it the steps are due
  };

  // The descriptors must stay open until the lease has been started.
  explicit Lease(Options options);

  // What is done at the end.
  PreparedSteps& at_end() { return at_end_; }

  // Starts the process.  ResourceExhausted when it cannot.
  absl::Status Start();

  // The same in two halves, for the child of a process with threads: the first
  // before it is forked, once the steps are complete; it adds the descriptors
  // that the child needs.  The second is async-signal-safe, and tells whether
  // it could.
  void Prepare(std::vector<int>& fds);
  bool Fork() const;

 private:
  [[noreturn]] void Run() const;
  bool IsCalledOff() const;
  bool IsDue(int timer_fd) const;
  // A descriptor that is readable when the token or the directory may be gone.
  int Watch() const;

  const Options options_;
  const std::string token_path_, directory_path_;
  std::vector<int> kept_;  // sorted; made by Prepare()
  PreparedSteps at_end_;
};

}  // namespace ckpt

#endif  // CKPT_BASE_LEASE_H_
