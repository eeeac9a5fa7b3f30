// Changes of the freezer states of cgroups, as they happen.
//
//   CKPT_ASSIGN_OR_RETURN(auto watch, StateWatch::Start(std::move(groups)));
//   while (!watch->AllRemoved()) {
//     CKPT_ASSIGN_OR_RETURN(const auto events, watch->Wait(deadline, cancel));
//     if (events.empty()) break;  // the deadline has passed
//     for (const v1::WatchEvent& event : events) Print(event);
//   }
//
// The first events are the states that the groups are in.  Nothing is polled:
// v2 tells of the effective state by cgroup.events; writes to the freezer files
// of a group and its ancestors are events of their own, with the writer's pid
// where fanotify(7) can be had (inotify(7) otherwise), so that a freeze and a
// thaw in quick succession are seen even if no state between was.  Only v1, on
// its way from FREEZING to FROZEN, has no event: then it is looked at again
// every 20 ms.
//
// Not thread-safe.
#ifndef CKPT_FREEZER_STATE_WATCH_H_
#define CKPT_FREEZER_STATE_WATCH_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/cancellation.h"
#include "base/unique_fd.h"
#include "freezer/cgroup.h"
#include "freezer/freezer.h"
#include "freezer/write_watch.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

class StateWatch {
 public:
  // FailedPrecondition for a root group, which has no state; NotFound;
  // ResourceExhausted when the kernel gives no more watches.
  static absl::StatusOr<std::unique_ptr<StateWatch>> Start(
      std::vector<std::unique_ptr<Cgroup>> groups);

  // Waits for the next events, at least one.  Empty when `deadline` (of
  // Clock::Real()) has passed before; Cancelled when `cancel`, which may be
  // null, says so.
  absl::StatusOr<std::vector<v1::WatchEvent>> Wait(absl::Time deadline,
                                                   const Cancellation* cancel);

  // Every group that is left is in `state`; false when none is left.
  bool AllIn(v1::FreezerState state) const;
  bool AllRemoved() const;

 private:
  struct Watched {
    std::unique_ptr<Cgroup> group;
    std::unique_ptr<Freezer> freezer;
    std::vector<std::string> ancestors;  // paths of it and its ancestors
    UniqueFd events;                     // v2: its cgroup.events
    v1::CgroupStatus status;             // as told last; state 0: not yet
    bool removed = false;
  };

  StateWatch() = default;

  absl::Status Add(std::unique_ptr<Cgroup> group);
  absl::Status AddWriteWatch(Cgroup& group);
  // Returns when there may be something to tell.
  absl::Status AwaitWake(absl::Time deadline, const Cancellation* cancel);
  // What there is to tell now.
  absl::StatusOr<std::vector<v1::WatchEvent>> Look();
  absl::Status LookAt(Watched& watched, const std::vector<GroupWrite>& writes,
                      std::vector<v1::WatchEvent>& events);
  absl::StatusOr<std::vector<GroupWrite>> TakeWrites();

  std::vector<Watched> groups_;
  std::unique_ptr<WriteWatch> writes_;  // null: inotify_ has to do
  UniqueFd inotify_;                    // removals; and writes, if need be
};

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_STATE_WATCH_H_
