// Steps that are carried out when this process dies without having disarmed
// them: by kill -9, a crash, the OOM killer.
//
//   LastWill will;
//   will.AddWrite(freeze_fd, "0");
//   CKPT_RETURN_IF_ERROR(will.Arm());
//   ... work that must not be left half done ...
//   CKPT_RETURN_IF_ERROR(will.Disarm());
//
// Arm() forks an executor, in a session of its own, that waits for this
// process's end.  It runs only system calls on memory prepared before, so that
// it is safe in a process with threads.  Descriptors given to steps must stay
// open until Arm() returns; `keep_open` descriptors live as long as the
// executor (a flock() on one of them is held until the will is carried out).
//
// Caveat: killing the executor as well defeats it.
//
// Thread-compatible.
#ifndef CKPT_BASE_LAST_WILL_H_
#define CKPT_BASE_LAST_WILL_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace ckpt {

class LastWill {
 public:
  LastWill() = default;
  ~LastWill();  // disarms
  LastWill(const LastWill&) = delete;
  LastWill& operator=(const LastWill&) = delete;

  // Steps, in order.  Each failure is ignored: the next step is still tried.
  // Writes `data` with one write().
  void AddWrite(int fd, absl::string_view data);
  // Makes every further write of `pid` to a file fail with EFBIG: a process
  // that ignores SIGXFSZ then ends by its own error handling.
  void AddLimitFileSize(pid_t pid);
  // Waits until the process of `pidfd` has ended, at most `limit`.
  void AddWaitExit(int pidfd, absl::Duration limit);
  // SIGKILL; nothing happens if it has ended.
  void AddKill(int pidfd);

  // SIGKILL to every process of a process group.
  void AddKillProcessGroup(pid_t pgid);
  // SIGKILL to every process that the cgroup.procs file `procs_fd` (open for
  // reading) lists, again and again until it lists none, at most `limit`.
  void AddKillListed(int procs_fd, absl::Duration limit);

  // A descriptor to hold until the end.
  void KeepOpen(int fd) { keep_open_.push_back(fd); }

  // Starts the executor.  ResourceExhausted or Internal when it cannot.
  absl::Status Arm();

  // Ends the executor with nothing done; OK if it was not armed.  Internal when
  // it is no longer there.
  absl::Status Disarm();

 private:
  enum class Kind {
    kWrite,
    kLimitFileSize,
    kWaitExit,
    kKill,
    kKillProcessGroup,
    kKillListed
  };
  struct Step {
    Kind kind;
    int number;  // descriptor or pid
    std::string data;
    int limit_ms;
  };

  [[noreturn]] void Execute(int life_fd) const;
  void CarryOut(const Step& step) const;
  static bool KillListed(const Step& step);

  std::vector<Step> steps_;
  std::vector<int> keep_open_;
  std::vector<int> keep_sorted_;  // all descriptors in use, made by Arm()
  UniqueFd life_;                 // closing it wakes the executor
  pid_t executor_ = -1;
};

}  // namespace ckpt

#endif  // CKPT_BASE_LAST_WILL_H_
