// The source's side of migrations.
//
//   Source source(journal, job, peer);
//   CKPT_ASSIGN_OR_RETURN(v1::MigrateReport report,
//                         source.Run(record, {.cancel = &cancel}));
//   ... after a restart, for each record that is not final ...
//   CKPT_RETURN_IF_ERROR(source.Resume(record));
//
// Up to the decision every loss, of the other node, of CRIU, of this process,
// leaves the job running here.  After it the job never runs here again.
//
// One thread at a time works on a migration.  Borrows all for its life.
#ifndef CKPT_MIGRATE_SOURCE_H_
#define CKPT_MIGRATE_SOURCE_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "base/clock.h"
#include "migrate/journal.h"
#include "migrate/progress.h"
#include "migrate/seams.h"
#include "proto/migration.pb.h"

namespace ckpt::migrate {

struct RunOptions {
  const Cancellation* cancel = nullptr;  // may be null
  Clock* clock = &Clock::Real();
  // Called with each new state.
  std::function<void(const v1::MigrationRecord&)> on_state = nullptr;
  // Told of phases and times; borrowed, may be null.
  Progress* progress = nullptr;
  // If set: called when only the decision is missing.  An error aborts.
  std::function<absl::Status()> await_switchover = nullptr;
};

class Source {
 public:
  Source(Journal& journal, SourceJob& job, Peer& peer)
      : journal_(journal), job_(job), peer_(peer) {}

  // `record` is new: id, generation, request, cgroup, image, peer, boot_id.  It
  // shows what became of it.
  //
  //   AlreadyExists  the id stands for another migration
  //   Unavailable    committed, and the destination has not said yet that the
  //                  job runs there, or the decision cannot be read: Resume()
  //                  goes on
  //   otherwise      the job runs on here, or is as it was: what of the dump,
  //                  the transfer or the restore failed, by their codes
  absl::StatusOr<v1::MigrateReport> Run(v1::MigrationRecord& record,
                                        const RunOptions& options = {});

  // Goes on with a migration that nobody works on, from what is written down.
  // OK: nothing is left to be done.  Unavailable: the other node does not
  // answer; try again.
  absl::Status Resume(v1::MigrationRecord& record);

  // Of a migration that is over: removes the lock that keeps this node from
  // answering for connections that have left, as soon as it may.  Unavailable:
  // not yet.  With `may_be_back`, also if the job has come here again; not
  // while any job is coming here, as that one may yet be dropped.
  static absl::Status Unlock(Journal& journal, SourceJob& job,
                             v1::MigrationRecord& record, bool may_be_back);

  // What the destination is told when it asks.
  static absl::StatusOr<v1::MigrationDecision> Answer(
      Journal& journal, const v1::MigrationRecord& asked);

  // An operator gives the destination up: nothing is told to it any more.
  // FailedPrecondition: it is not decided, or is not to be given up.
  absl::Status GiveUpPeer(v1::MigrationRecord& record);

 private:
  // Asks the destination for a place, with what the job needs.
  absl::Status Prepare(v1::MigrationRecord& record, const RunOptions& options);
  absl::Status SwitchOver(v1::MigrationRecord& record, const HeldJob& job,
                          const RunOptions& options);
  absl::Status Abort(v1::MigrationRecord& record, absl::Status why);
  // What is told of a job that has left, or may have.
  static absl::Status HasLeft(const v1::MigrationRecord& record,
                              const absl::Status& why);
  static absl::Status CannotTell(const v1::MigrationRecord& record,
                                 const absl::Status& why);
  absl::Status EndHere(v1::MigrationRecord& record);
  void NoteGone(v1::MigrationRecord& record);
  absl::StatusOr<v1::RestoreReport> Complete(v1::MigrationRecord& record);
  void TidyUp(v1::MigrationRecord& record);
  absl::Status TellAborted(v1::MigrationRecord& record);
  absl::Status Go(v1::MigrationRecord& record, v1::MigrationState next,
                  absl::string_view why, const RunOptions& options = {});

  Journal& journal_;
  SourceJob& job_;
  Peer& peer_;
};

}  // namespace ckpt::migrate

#endif  // CKPT_MIGRATE_SOURCE_H_
