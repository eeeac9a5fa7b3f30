// A dump whose job goes to somebody else (migrate/): the commit point is not
// the image's, but a file that decides.
//
//   HandOver over = {.decision_dir_fd = fd, .decision_name = "x.decision"};
//   over.give = [&](const GivenJob& job) { ...; return WriteDecision(); };
//   Dump(request, {..., .hand_over = &over});
//
// `give` is called when the image is whole and on the disk, under its hidden
// name, and no task can run: CRIU holds them, and the group is frozen for the
// case that CRIU dies.  If it returns OK, the tasks are killed; if it returns
// an error, they go on and there is no image.  When this process dies in the
// middle, its guardian looks for the file: if it is there, it kills them while
// they are still frozen; if not, it gives them back.  If the guardian was
// killed, too, freezer::Recover() does the same.
#ifndef CKPT_CHECKPOINT_HAND_OVER_H_
#define CKPT_CHECKPOINT_HAND_OVER_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/prepared_steps.h"
#include "base/proc.h"
#include "base/unique_fd.h"
#include "checkpoint/kept_connections.h"
#include "proto/checkpoint.pb.h"
#include "proto/image.pb.h"
#include "proto/migration.pb.h"

namespace ckpt::checkpoint {

// A process, told from a later one of the same number.
struct GivenProcess {
  pid_t pid = 0;
  uint64_t start_ticks = 0;
};

struct GivenJob {
  int image_dir_fd = -1;
  const v1::Manifest* manifest = nullptr;
  std::vector<GivenProcess> processes;
  v1::NetworkLock network_lock;  // stays here when the job has left
  absl::Time frozen_at;          // on Clock::Real()
  // To be asked just before the decision: an error when the tasks might have
  // run meanwhile.
  std::function<absl::Status()> check_held;
};

struct HandOver {
  // Borrowed for the dump.
  int decision_dir_fd = -1;
  std::string decision_name;
  std::function<absl::Status(const GivenJob& job)> give;
  // If set: called with the directory that CRIU is going to write into.
  std::function<void(int image_dir_fd)> image_begun = nullptr;
  bool keep_image = false;  // give it its name when the job has left
};

// The decision's path, for the journal of groups; "" for null.
// InvalidArgument for a dump that cannot be one.
absl::StatusOr<std::string> CheckHandOver(const v1::DumpRequest& request,
                                          const HandOver* over);

// The processes of a tree that is held, so that nothing else is ever killed in
// their place.  Not thread-safe.
class LeavingTree {
 public:
  // ResourceExhausted: too many for this process's descriptors.
  static absl::StatusOr<std::unique_ptr<LeavingTree>> Open(
      const std::vector<pid_t>& tree, ProcFs& proc);

  // Once CRIU has dumped the tree, into that directory, and holds it: before
  // all of the following.  Errors of KeptConnections::Open().
  absl::Status TakeConnections(const std::vector<pid_t>& tree,
                               int image_dir_fd);

  // What is known of them here: processes and network_lock.
  GivenJob Given() const;

  // They are to go on: their connections do, before they do.  Returns `why`,
  // with what went wrong with that.
  absl::Status GoOn(absl::Status why) const;
  // The same for a guardian.  Open until it is armed.
  void AddGoOn(PreparedSteps& steps) const { connections_->AddGoOn(steps); }

  // SIGKILL to all.  Those of a frozen v1 group end when it is thawed.
  void Kill() const;
  // The same for a guardian.  Open until it is armed.
  void AddKill(PreparedSteps& steps) const;
  void AddWait(PreparedSteps& steps, absl::Duration limit) const;

 private:
  std::vector<GivenProcess> processes_;
  std::vector<UniqueFd> pidfds_;
  std::unique_ptr<KeptConnections> connections_;
};

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_HAND_OVER_H_
