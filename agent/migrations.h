// The node's migrations, of which it is the source or the destination: one
// thread at a time works on each, and what is left undone, by a lost node or a
// killed agent, is gone on with until it is settled: several at a time, those
// of a node that does not answer ever more rarely.
//
//   Migrations migrations(journal, source_job, destination_job, open_peer);
//   CKPT_RETURN_IF_ERROR(migrations.Recover());       // before anything else
//   migrations.Start();                               // threads of its own
//   CKPT_ASSIGN_OR_RETURN(v1::MigrateReport report,
//                         migrations.Run(record, options));
//
// Thread-safe.  Borrows all for its life.
#ifndef CKPT_AGENT_MIGRATIONS_H_
#define CKPT_AGENT_MIGRATIONS_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "agent/worker_pool.h"
#include "base/cancellation.h"
#include "migrate/destination.h"
#include "migrate/journal.h"
#include "migrate/progress.h"
#include "migrate/seams.h"
#include "migrate/source.h"
#include "proto/migration.pb.h"
#include "proto/transfer.pb.h"

namespace ckpt::agent {

class Migrations {
 public:
  // How many that are settled are remembered.
  static constexpr size_t kRemembered = 200;
  // How long a job stands still at most for want of Continue(): shorter than
  // the destination holds it.
  static constexpr absl::Duration kPauseLimit = absl::Minutes(20);

  using OnProgress = std::function<void(const v1::OperationProgress&)>;
  using OpenPeer = std::function<absl::StatusOr<std::unique_ptr<migrate::Peer>>(
      const v1::MigrationRecord& record, const OnProgress& on_progress)>;

  Migrations(migrate::Journal& journal, migrate::SourceJob& source_job,
             migrate::DestinationJob& destination_job, OpenPeer open_peer);
  ~Migrations();  // ends the threads
  Migrations(const Migrations&) = delete;
  Migrations& operator=(const Migrations&) = delete;

  // What a former agent has left: jobs that have left this node are ended for
  // certain before it returns OK, and nothing that was held counts as held.
  absl::Status Recover();
  void Start();

  struct Watching {
    const Cancellation* cancel = nullptr;  // borrowed
    std::function<void(const v1::MigrationRecord&)> on_state;
    migrate::Progress::OnChange on_progress;
    absl::Duration pause_limit = kPauseLimit;
  };
  // At the source.  Errors of migrate::Source::Run().
  absl::StatusOr<v1::MigrateReport> Run(v1::MigrationRecord record,
                                        const Watching& watching);
  // FailedPrecondition: it does not wait.
  absl::Status Continue(const std::string& id);

  // Of either side.  NotFound.
  absl::StatusOr<v1::MigrationRecord> Find(const std::string& id) {
    return journal_.Find(id);
  }
  // FailedPrecondition: the other node decides, or has decided, or answers with
  // an error that is to be put right; or nothing is to be decided.
  absl::Status Decide(const std::string& id, bool keep);

  // An image arrives at this destination by a transfer of that id; "": it has
  // not become one.  OK also when it is of no migration.  Unavailable: its
  // migration is being worked on; ask again.  Errors of Journal::Save().
  absl::Status NoteArrival(const std::string& transfer_id,
                           const std::string& image,
                           const std::string& image_id);

  // What the source asks of this destination.  Unavailable: it is being worked
  // on; ask again.
  absl::Status Prepare(const v1::MigrationRecord& record);
  absl::Status Hold(const std::string& id, const std::string& generation);
  absl::StatusOr<v1::RestoreReport> Release(const std::string& id,
                                            const std::string& generation);
  absl::Status Abort(const v1::MigrationRecord& asked);
  // And the destination of this source.
  absl::StatusOr<v1::MigrationDecision> Answer(
      const v1::MigrationRecord& asked) {
    return migrate::Source::Answer(journal_, asked);
  }

 private:
  // Nobody else works on that migration as long as it lives.
  using Claim = std::shared_ptr<void>;
  absl::StatusOr<Claim> TakeClaim(const std::string& id, absl::Duration limit);
  bool IsFree(const std::string& id) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return busy_.count(id) == 0;
  }

  absl::Status Resume(v1::MigrationRecord& record);
  // The same without leaving the source its time.
  absl::Status ResumeNow(v1::MigrationRecord& record);
  // Of those that are over: what keeps this node from answering for connections
  // that have left is removed when it may.
  void Unlock(const std::vector<v1::MigrationRecord>& records);
  absl::Status DecideAtSource(v1::MigrationRecord& record, bool keep);
  absl::Status DecideAtDestination(v1::MigrationRecord& record, bool keep);
  absl::Status AwaitSwitchover(const std::string& id, const Watching& watching);
  void ResumeAll();
  // Has a worker go on with it, if one is free for its other node.
  void StartResuming(const v1::MigrationRecord& record);
  void ResumeClaimed(const std::string& id);
  // When it is to be tried; at once if it never was.
  absl::Time DueTime(const std::string& id) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Forget(std::vector<v1::MigrationRecord> settled);
  void Loop();

  migrate::Journal& journal_;
  migrate::SourceJob& source_job_;
  migrate::DestinationJob& destination_job_;
  const OpenPeer open_peer_;
  migrate::Destination destination_;

  absl::Mutex mutex_;
  std::set<std::string> busy_ ABSL_GUARDED_BY(mutex_);
  // Those that wait for Continue(), and whether it came.
  std::map<std::string, bool> paused_ ABSL_GUARDED_BY(mutex_);
  // When a migration that the other node does not answer for is tried again.
  std::map<std::string, std::pair<absl::Time, absl::Duration>> retries_
      ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  bool look_ ABSL_GUARDED_BY(mutex_) = true;  // something may be unsettled
  std::thread thread_;
  WorkerPool workers_;  // the last: they use all the rest
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_MIGRATIONS_H_
