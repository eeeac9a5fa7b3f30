// What the two state machines of a migration work on: the job at the source,
// the job at the destination, and the other node.  agent/ has the real ones.
//
// A call may be repeated when its answer was lost, or after a restart: all of
// them but Leave() are idempotent.  Whatever an implementation has begun dies
// with its process in a way that its comment tells.
#ifndef CKPT_MIGRATE_SEAMS_H_
#define CKPT_MIGRATE_SEAMS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/cancellation.h"
#include "proto/check.pb.h"
#include "proto/checkpoint.pb.h"
#include "proto/migration.pb.h"

namespace ckpt::migrate {

// A job that is held: dumped, and still there.
struct HeldJob {
  int image_dir_fd = -1;  // the whole image; borrowed for the call
  std::string image_id;
  // Asked before the decision: an error when they may have run meanwhile.
  std::function<absl::Status()> check_held = nullptr;
  absl::Time frozen_at;
  std::vector<v1::MigrationTask> tasks;
  v1::NetworkLock network_lock;
};

class SourceJob {
 public:
  virtual ~SourceJob() = default;

  // What the job needs of the destination.  Touches nothing.
  virtual absl::StatusOr<v1::JobNeeds> Describe(
      const v1::MigrationRecord& record) = 0;

  // Dumps the job: tells the directory that the image is going to be written
  // into, and calls `hand_over` while none of its tasks can run.  If
  // that returns OK the job is somebody else's: its tasks are killed, and OK
  // means that none is left.  If it returns an error, or anything before it
  // fails, the job goes on.  When the process dies in the middle, a guardian
  // does the same: it kills if the journal has a decision, else gives back.
  struct Steps {
    std::function<void(int image_dir_fd)> begun;
    std::function<absl::Status(const HeldJob&)> hand_over;
    std::function<void(v1::Phase)> on_phase;  // of the dump
  };
  virtual absl::StatusOr<v1::DumpReport> Leave(
      const v1::MigrationRecord& record, const Steps& steps,
      const Cancellation* cancel) = 0;

  // Tasks do not outlive the kernel that this names.
  virtual std::string BootId() = 0;

  // Waits until what a dead agent has left is settled by its guardian; kills
  // those of record.tasks that are left.  OK: there is none.
  virtual absl::Status EndTasks(const v1::MigrationRecord& record) = 0;

  // The source's own image is not needed any more.
  virtual absl::Status DropImage(const v1::MigrationRecord& record) = 0;

  // Removes record.network_lock.  Of a job that stayed, its connections go on.
  // Of one that has left: Unavailable as long as this node would answer for
  // them; if it may be back, not when it has them itself.
  enum class Whereabouts { kStayed, kLeft, kMayBeBack };
  virtual absl::Status Unlock(const v1::MigrationRecord& record,
                              Whereabouts job) = 0;
};

// A job that is built, and of which nothing has run.
struct BuiltJob {
  std::string log;  // of the CRIU that holds it
  std::vector<v1::MigrationTask> tasks;
};

class DestinationJob {
 public:
  virtual ~DestinationJob() = default;

  // Whether a job can come, by record.needs, too: an error tells why not.
  virtual absl::Status Reserve(const v1::MigrationRecord& record) = 0;

  // OK: the image is here, whole, on the disk.  Its id.
  virtual absl::StatusOr<std::string> Verify(
      const v1::MigrationRecord& record) = 0;

  // Tasks do not outlive the kernel that this names.
  virtual std::string BootId() = 0;

  // Builds the job, and holds it before any of it runs.  What is held dies with
  // the process, and when it was held for too long.
  virtual absl::StatusOr<BuiltJob> Hold(const v1::MigrationRecord& record) = 0;
  virtual bool IsHeld(const std::string& id) = 0;

  // Lets go what is held; builds the job if nothing was.  `releasing` is called
  // when it is built; its error kills what was built.  On failure nothing runs.
  using Releasing = std::function<absl::Status(const BuiltJob& job)>;
  virtual absl::StatusOr<v1::RestoreReport> Run(
      const v1::MigrationRecord& record, const Releasing& releasing) = 0;

  // Kills what is held, and what a former process has built for this record and
  // never let go: record.tasks, and, if it is `building`, what is in its group
  // beyond doubt.  Nothing else.
  virtual absl::Status EndBuilt(const v1::MigrationRecord& record) = 0;

  // Of a job that was about to be let go when the process died.  What was built
  // and not let go is killed.  kUnknown: there is no trace of it.
  enum class Fate { kRuns, kEnded, kNeverRan, kUnknown };
  virtual absl::StatusOr<Fate> FateOf(const v1::MigrationRecord& record) = 0;
  // It is written down what has become of it: record.restore_log, which
  // FateOf() goes by, is not needed any more.
  virtual void DropLog(const v1::MigrationRecord& record) = 0;

  // Removes the image, whole or not; nothing is built from it.
  virtual absl::Status Drop(const v1::MigrationRecord& record) = 0;

  // The job runs: the image is not needed any more.
  virtual absl::Status DropImage(const v1::MigrationRecord& record) = 0;
};

// The other node.  Unavailable: it was not reached, or its answer was lost.
class Peer {
 public:
  virtual ~Peer() = default;

  // To the destination.  `cancel` is borrowed for the call.
  virtual absl::Status Prepare(const v1::MigrationRecord& record) = 0;
  // The image is going to be written into that directory, which stays until
  // Send() has returned, or the peer is gone: what is there may leave.
  virtual void BeginSend(const v1::MigrationRecord& record, int image_dir_fd,
                         const Cancellation* cancel) = 0;
  // Returns when the whole image is on the disk there.
  virtual absl::Status Send(const v1::MigrationRecord& record,
                            const Cancellation* cancel) = 0;
  virtual absl::Status Hold(const v1::MigrationRecord& record,
                            const Cancellation* cancel) = 0;
  virtual absl::StatusOr<v1::RestoreReport> Release(
      const v1::MigrationRecord& record) = 0;
  virtual absl::Status Abort(const v1::MigrationRecord& record) = 0;

  // To the source.
  virtual absl::StatusOr<v1::MigrationDecision> Decision(
      const v1::MigrationRecord& record) = 0;
};

}  // namespace ckpt::migrate

#endif  // CKPT_MIGRATE_SEAMS_H_
