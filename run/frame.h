// The cgroup that a job runs in, and nobody else.
//
//   CKPT_ASSIGN_OR_RETURN(auto frame, Frame::Make("ckpt/render", hierarchy));
//   CKPT_ASSIGN_OR_RETURN(const v1::KillReport left, frame->KillAll());
//   ... the job runs in frame->group() ...
//   CKPT_RETURN_IF_ERROR(frame->Remove());
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
  // Makes the group where it does not exist.  Errors as FindOrCreateCgroup();
  // FailedPrecondition: the root group.
  static absl::StatusOr<std::unique_ptr<Frame>> Make(const std::string& name,
                                                     v1::Hierarchy hierarchy);

  freezer::Cgroup& group() { return *group_; }

  // Ends what is in it, frozen or not; an empty one is thawed, too.  Errors as
  // KillGroup() and Suspend().
  absl::StatusOr<v1::KillReport> KillAll(const Cancellation* cancel = nullptr);

  // Sends a signal other than SIGKILL to every process but `spared`, once.
  // Errors as KillAll().
  absl::StatusOr<v1::KillReport> Signal(int signal, pid_t spared,
                                        const Cancellation* cancel);

  // Has the guardian do so when it carries out the will.
  absl::Status Guard(LastWill& guardian);

  // Freezes or thaws it, verified.  Errors as Freezer::Freeze(), and
  // Unavailable when somebody else works on the group for
  // long.
  absl::Status Suspend();
  absl::Status Resume();

  // Removes the group once it is empty.  Unavailable: it does not become so.
  absl::Status Remove();

 private:
  explicit Frame(std::unique_ptr<freezer::Cgroup> group)
      : group_(std::move(group)) {}

  const std::unique_ptr<freezer::Cgroup> group_;
};

}  // namespace ckpt::run

#endif  // CKPT_RUN_FRAME_H_
