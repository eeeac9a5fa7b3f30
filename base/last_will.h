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
// Work whose result is told on standard output ends with HandOver() instead of
// Disarm(): the executor prints the text, and only when all of it is printed
// the will is void.  So whatever is killed when, either the whole text is there
// and the work stands, or the text is not there (or not whole) and the work is
// undone.
//
// Caveat: killing the executor as well defeats it.
//
// Thread-compatible.
#ifndef CKPT_BASE_LAST_WILL_H_
#define CKPT_BASE_LAST_WILL_H_

#include <sys/types.h>

#include <cstddef>
#include <deque>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/cancellation.h"
#include "base/lease.h"
#include "base/prepared_steps.h"
#include "base/unique_fd.h"

namespace ckpt {

// The steps are those of PreparedSteps.
class LastWill : public PreparedSteps {
 public:
  LastWill() = default;
  ~LastWill();  // disarms
  LastWill(const LastWill&) = delete;
  LastWill& operator=(const LastWill&) = delete;

  // A descriptor to hold until the end.
  void KeepOpen(int fd) { keep_open_.push_back(fd); }

  // What the executor does once it has printed the text of HandOver().
  PreparedSteps& after_hand_over() { return after_hand_over_; }
  // The same in parts, before that, of which HandOver() can leave out some;
  // they are counted from 0.
  PreparedSteps& AddPart() { return parts_.emplace_back(); }
  // A lease that it starts before it prints: one that cannot be started is an
  // error that nobody was told of yet.  The steps of the will must call it off.
  // Borrowed until Arm() returns.
  void StartAtHandOver(Lease& lease) { leases_.push_back(&lease); }

  // Starts the executor.  ResourceExhausted or Internal when it cannot.
  absl::Status Arm();

  // Ends the executor with nothing done; OK if it was not armed.  Internal when
  // it is no longer there.
  absl::Status Disarm();

  // Has the executor write `text` to `output_fd`, one that it keeps open, and
  // then do what is to be done after that, without the parts `left_out`;
  // returns when the executor has ended.  `cancel` may be null.
  //
  // On failure the will has been carried out, and the text may be there in
  // part: the error of the write; Cancelled.  Internal when the executor is no
  // longer there: then nobody can tell what was done, and the caller has to
  // undo its work.
  absl::Status HandOver(absl::string_view text, int output_fd,
                        const Cancellation* cancel,
                        const std::set<size_t>& left_out = {});

 private:
  [[noreturn]] void Execute(int life_fd) const;
  // In the executor: takes over and prints; false when the will is due.
  bool TakeOver(int life_fd) const;
  int WaitForAnswer(const Cancellation* cancel);
  int Reap();

  std::vector<int> keep_open_;
  std::vector<Lease*> leases_;
  std::deque<PreparedSteps> parts_;  // references into it are given out
  PreparedSteps after_hand_over_;
  std::vector<int> keep_sorted_;  // all descriptors in use, made by Arm()
  UniqueFd life_;                 // closing it wakes the executor
  pid_t executor_ = -1;
};

}  // namespace ckpt

#endif  // CKPT_BASE_LAST_WILL_H_
