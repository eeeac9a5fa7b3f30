// Freezes and thaws one cgroup, v1 or v2, and proves the result.
//
//   CKPT_ASSIGN_OR_RETURN(auto group, FindCgroup("job1", hierarchy));
//   Freezer freezer(*group, ProcFs::Real(), Clock::Real());
//   CKPT_ASSIGN_OR_RETURN(v1::FreezeReport report,
//                         freezer.Freeze({.deadline = clock.Now() + timeout}));
//
// A freeze is reported only when the kernel says FROZEN, two listings of the
// group's threads before and after it agree, and, where the kernel is known to
// say so too early, each thread looks frozen.  When it cannot be had by the
// deadline, the blocking threads are named in the error (payload kReportUrl,
// a serialized v1::FreezeReport) and the group is given back as it was, or, on
// request, left FREEZING.
//
// Not thread-safe.  Borrows all three for its lifetime.
#ifndef CKPT_FREEZER_FREEZER_H_
#define CKPT_FREEZER_FREEZER_H_

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/cancellation.h"
#include "base/clock.h"
#include "base/proc.h"
#include "freezer/backend.h"
#include "freezer/cgroup.h"
#include "freezer/evidence.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

// Type of the error payload that holds a serialized v1::FreezeReport.
inline constexpr char kReportUrl[] = "type.googleapis.com/ckpt.v1.FreezeReport";

struct FreezeOptions {
  absl::Time deadline = absl::InfiniteFuture();  // on the Freezer's clock
  const Cancellation* cancel = nullptr;          // borrowed for the call
  // Of a group that is not FROZEN by the deadline, and of no other failure.
  v1::OnBusy on_busy = v1::ON_BUSY_CANCEL;
  // Tell more of report.tasks than that they are frozen, once the group is;
  // some 20 us a thread.  A report of a failure always does.
  bool list_tasks = false;
};

class Freezer {
 public:
  Freezer(Cgroup& group, ProcFs& proc, Clock& clock);

  Cgroup& group() { return group_; }
  Clock& clock() { return clock_; }

  // The group's state as the kernel has it; with `with_tasks` also every thread
  // of it and of the groups below.  Who holds it: freezer/group_status.h.
  // NotFound when the group is gone.
  absl::StatusOr<v1::CgroupStatus> GetStatus(bool with_tasks);

  // Brings the group to a verified FROZEN.  A group that was frozen by its own
  // request is adopted; one frozen by an ancestor gets a request of its own
  // too, or the ancestor's thaw would let it run.
  //
  // On failure the group has the own request that it had before (a failure of
  // that is appended to the message); with ON_BUSY_KEEP, Unavailable leaves it
  // FREEZING: it becomes FROZEN by itself once the blockers freeze or leave (v1
  // notices when its state is read), and Thaw() cancels.
  //   FailedPrecondition  the root group; a group that holds the caller
  //   Unavailable         some threads did not freeze before the deadline
  //   DeadlineExceeded    the deadline was over before the first try
  //   Cancelled, Aborted (the group vanished), NotFound
  absl::StatusOr<v1::FreezeReport> Freeze(const FreezeOptions& options);

  // Takes back the group's own request and waits until it is thawed.
  //   FailedPrecondition  an ancestor keeps it frozen (named)
  //   DeadlineExceeded, Cancelled, NotFound
  absl::StatusOr<v1::FreezeReport> Thaw(const FreezeOptions& options);

  // Freeze() for FROZEN, Thaw() for THAWED, for a caller that names the state.
  //   InvalidArgument  any other state: FREEZING and CHECKPOINTING come of
  //                    themselves, and are not asked for
  absl::StatusOr<v1::FreezeReport> SetState(v1::FreezerState state,
                                            const FreezeOptions& options);

  // Writes the own request without waiting: for ways back.
  absl::Status WriteRequest(bool freeze) { return backend_->Request(freeze); }

  // For a LastWill: the file and the words that give the wanted request.
  absl::StatusOr<UniqueFd> OpenRequestFile() {
    return group_.OpenForWrite(backend_->request_file());
  }
  bool IsRequestFile(const std::string& file) const {
    return file == backend_->request_file();
  }
  absl::string_view RequestWord(bool freeze) const {
    return backend_->request_word(freeze);
  }

 private:
  // Waits for FROZEN, then lists threads until two lists agree.  Fills
  // report.threads, report.tasks and report.after.
  absl::Status WaitFrozen(const FreezeOptions& options, BlockerWatch& watch,
                          v1::FreezeReport& report);
  absl::Status WaitForStep(int attempt, absl::Duration limit,
                           const FreezeOptions& options,
                           v1::FreezeReport& report);
  absl::StatusOr<bool> ThreadsAreStable(v1::FreezeReport& report);
  // The error of a freeze that failed with `why`: evidence, then the way back.
  absl::Status FailFreeze(absl::Status why, const FreezeOptions& options,
                          BlockerWatch& watch, v1::FreezeReport report);
  void ListTasks(v1::FreezerState state, v1::FreezeReport& report);
  absl::Status GiveBack(const v1::CgroupStatus& before);
  absl::StatusOr<std::string> FrozenAncestor();

  Cgroup& group_;
  ProcFs& proc_;
  Clock& clock_;
  const std::unique_ptr<Backend> backend_;
  // A group stays where it is in its hierarchy, so this is found out once.
  int levels_to_root_ = std::numeric_limits<int>::max();
};

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_FREEZER_H_
