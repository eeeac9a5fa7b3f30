// The destination's side of migrations.
//
//   Destination destination(journal, job);
//   CKPT_RETURN_IF_ERROR(destination.Prepare(record));    // as the source asks
//   CKPT_RETURN_IF_ERROR(destination.Hold(id, generation));
//   ... after a restart, and from time to time, for each that is not final ...
//   CKPT_RETURN_IF_ERROR(destination.Resume(record, peer));
//
// Nothing of a job runs here before the source has decided so, and is empty of
// it.  What the source has decided is done, however often this node dies.
//
// One thread at a time works on a migration: the caller's business.  Borrows
// all for its life.
#ifndef CKPT_MIGRATE_DESTINATION_H_
#define CKPT_MIGRATE_DESTINATION_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "migrate/journal.h"
#include "migrate/places.h"
#include "migrate/seams.h"
#include "proto/migration.pb.h"

namespace ckpt::migrate {

class Destination {
 public:
  Destination(Journal& journal, DestinationJob& job,
              Clock& clock = Clock::Real())
      : journal_(journal), job_(job), places_(journal, clock) {}

  // `record` as the source has it: the place that it gets here is filled in by
  // the caller (peer, cgroup, image, boot_id, reserved_by).  Errors of
  // Reserve(); FailedPrecondition: it was aborted, the id is another's, the
  // group is reserved for another migration, or the source's ckpt is newer.
  // ResourceExhausted: the caller (reserved_by) has Places::kMaxOfOne.
  absl::Status Prepare(const v1::MigrationRecord& asked);

  // The image was sent: builds the job and holds it, anew if what was held is
  // no more.  NotFound; FailedPrecondition: it is over here, or another;
  // errors of Verify() and Hold(), after which it can be asked for again.
  absl::Status Hold(const std::string& id, const std::string& generation);

  // The source has decided, and has no task of it any more.  OK when the job
  // runs; also when it did and has ended.
  absl::StatusOr<v1::RestoreReport> Release(const std::string& id,
                                            const std::string& generation);

  // The source keeps the job.  OK: nothing of it is here, nor will be.
  absl::Status Abort(const v1::MigrationRecord& asked);

  // What was held is no more.
  void LostHold(const std::string& id);

  // After a restart, once, before anything else is done with the record.
  absl::Status Recover(v1::MigrationRecord& record);

  // Goes on with what is written down: asks the source for its decision where
  // it is missing.  A place for which nothing whole has come is not kept for a
  // source that is silent for too long (migrate/places.h).  OK: nothing is left
  // to be done. Unavailable: nobody knows yet; ask again.
  absl::Status Resume(v1::MigrationRecord& record, Peer& source);

  // Nobody needs to be asked any more.
  static bool IsDecided(const v1::MigrationRecord& record);

  // An operator decides in the source's place, or tells what nobody can know.
  absl::Status Decide(v1::MigrationRecord& record, bool keep);

 private:
  absl::StatusOr<v1::MigrationRecord> Find(const std::string& id,
                                           const std::string& generation);
  absl::Status Receive(v1::MigrationRecord& record);
  // Nothing that was built is left; a build begins.
  absl::Status BeginBuilding(v1::MigrationRecord& record);
  absl::Status Take(v1::MigrationRecord& record, absl::string_view why);
  absl::Status Finish(v1::MigrationRecord& record);
  absl::Status FindOut(v1::MigrationRecord& record);
  absl::Status LetGo(v1::MigrationRecord& record);
  absl::Status DoAsTold(v1::MigrationRecord& record,
                        v1::MigrationDecision decision);
  absl::Status OutliveSource(v1::MigrationRecord& record);
  void TidyUp(v1::MigrationRecord& record);
  absl::Status Drop(v1::MigrationRecord& record, absl::string_view why);
  absl::Status Expire(v1::MigrationRecord& record);

  Journal& journal_;
  DestinationJob& job_;
  Places places_;
  absl::Mutex reserving_;  // the one group is looked for and taken by one
};

}  // namespace ckpt::migrate

#endif  // CKPT_MIGRATE_DESTINATION_H_
