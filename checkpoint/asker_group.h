// Groups of a process that asked for the checkpoint of its own job.
//
// It is the exception of the legality check: all others of the tree are in one
// frozen group, and it stands in that group or in another.  (It could not have
// asked, were it frozen; but it only waits for the answer, so it may be frozen
// now.)  CRIU takes a tree only whole from one group: so a process that stands
// in another is verified as the exception, then joins the group until the dump
// is over.
#ifndef CKPT_CHECKPOINT_ASKER_GROUP_H_
#define CKPT_CHECKPOINT_ASKER_GROUP_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/last_will.h"
#include "base/unique_fd.h"
#include "freezer/cgroup.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::checkpoint {

// Moves this process out of every freezer group that `pid` is in too, to the
// nearest group above that takes it.
absl::Status LeaveGroupsOf(pid_t pid);

// Fills dump.cgroup, pid and self_pid: the job is the tree of `asker`, in the
// group that its descendants are in, or, with `whole_group`, the tree in
// `cgroup` ("": the asker's), to which the asker belongs.  dump.hierarchy says
// where to look; unspecified: v2 first, then v1.
//
// FailedPrecondition: the root group; several trees; the asker is not of the
// tree.  NotFound: no such group, or it is empty.
absl::Status NameJobOfAsker(pid_t asker, bool whole_group,
                            const std::string& cgroup, v1::DumpRequest& dump);

// A process that is moved into a group and back.  Not thread-safe.
class JoinedProcess {
 public:
  // Looks up the group that it is in now.  Borrows `group` for its lifetime.
  static absl::StatusOr<std::unique_ptr<JoinedProcess>> Find(
      freezer::Cgroup& group, pid_t pid);
  ~JoinedProcess() { (void)Return(); }
  JoinedProcess(const JoinedProcess&) = delete;
  JoinedProcess& operator=(const JoinedProcess&) = delete;

  // Has a guardian return it.
  void Protect(LastWill& guardian) const;
  absl::Status Join();
  // To where it was.  OK when it did not join, or has ended.
  absl::Status Return();

 private:
  JoinedProcess(freezer::Cgroup& group, pid_t pid,
                std::unique_ptr<freezer::Cgroup> home, UniqueFd home_procs)
      : group_(group),
        pid_(pid),
        home_(std::move(home)),
        home_procs_(std::move(home_procs)) {}

  freezer::Cgroup& group_;
  const pid_t pid_;
  const std::unique_ptr<freezer::Cgroup> home_;
  const UniqueFd home_procs_;
  bool joined_ = false;
};

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_ASKER_GROUP_H_
