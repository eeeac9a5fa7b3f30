// The cgroups of a job, and nobody else's: a frame, which is frozen for all of
// the job, and below it the group `job` that the job starts in.
//
//   CKPT_ASSIGN_OR_RETURN(auto frame, Frame::Make("ckpt/render", hierarchy));
//   CKPT_ASSIGN_OR_RETURN(const v1::KillReport left, frame->KillAll());
//   ... the job runs in frame->job_group() ...
//   CKPT_RETURN_IF_ERROR(frame->Remove());
//
// A freeze of the frame cannot be undone from the job's own group: a write
// there changes what is asked for, not what is.  A dump is one of the frame,
// with the groups below it (DumpRequest.subtree).
//
// Not thread-safe.
#ifndef CKPT_RUN_FRAME_H_
#define CKPT_RUN_FRAME_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "base/last_will.h"
#include "freezer/cgroup.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::run {

class Frame {
 public:
  // Makes the groups where they do not exist.  Errors as FindOrCreateCgroup();
  // FailedPrecondition: the root group.
  static absl::StatusOr<std::unique_ptr<Frame>> Make(const std::string& name,
                                                     v1::Hierarchy hierarchy);

  // The frame of a job that runs, perhaps one of an older ckpt, which has the
  // job in it.  Errors as FindCgroup().
  static absl::StatusOr<std::unique_ptr<Frame>> Open(const std::string& name,
                                                     v1::Hierarchy hierarchy);

  freezer::Cgroup& group() { return *group_; }
  // Of Make() alone.
  freezer::Cgroup& job_group() { return *job_group_; }

  // Ends what is in it, frozen or not; an empty one is thawed, too.  Errors as
  // KillGroup() and Suspend().
  absl::StatusOr<v1::KillReport> KillAll(const Cancellation* cancel = nullptr);

  // Sends a signal other than SIGKILL to every process but `spared`, once.
  // Errors as KillAll().
  absl::StatusOr<v1::KillReport> Signal(int signal, pid_t spared,
                                        const Cancellation* cancel);

  // Has the guardian end what is in the two groups when it carries out the
  // will. The end of a job's process 1 ends the others, wherever they are.
  absl::Status Guard(LastWill& guardian);

  // Freezes or thaws it, verified.  Errors as Freezer::Freeze(), and
  // Unavailable when somebody else works on the group for
  // long.
  absl::Status Suspend();
  absl::Status Resume();

  // Removes the frame once it is empty, with all groups below it.
  // Unavailable: it does not become so.
  absl::Status Remove();

 private:
  Frame(std::unique_ptr<freezer::Cgroup> group,
        std::unique_ptr<freezer::Cgroup> job_group)
      : group_(std::move(group)), job_group_(std::move(job_group)) {}

  const std::unique_ptr<freezer::Cgroup> group_;
  const std::unique_ptr<freezer::Cgroup> job_group_;
};

}  // namespace ckpt::run

#endif  // CKPT_RUN_FRAME_H_
