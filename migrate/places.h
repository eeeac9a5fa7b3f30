// The places that a node keeps for migrations to it: which are free, who has
// them, and for how long.
//
//   Places places(journal, clock);
//   CKPT_RETURN_IF_ERROR(places.CheckIsFree(record));
//   ... the record is in the journal ...
//   places.Heard(record.id());                   // its source asks, or answers
//   if (places.IsExpired(record)) ...
//
// When a source was heard is not written down: an agent that is started again
// gives each its time anew.
//
// Thread-safe if the clock is.  Borrows both for its life.
#ifndef CKPT_MIGRATE_PLACES_H_
#define CKPT_MIGRATE_PLACES_H_

#include <cstddef>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "migrate/journal.h"
#include "proto/migration.pb.h"

namespace ckpt::migrate {

class Places {
 public:
  // How many migrations of one caller may be under way here without a
  // decision.  Each takes a file, and is asked after again and again.
  static constexpr size_t kMaxOfOne = 64;
  // A place is kept for a source that says nothing for as long as it may take
  // to its decision, and for this besides: a node is started again meanwhile.
  static constexpr absl::Duration kLimit = absl::Minutes(10);

  Places(Journal& journal, Clock& clock) : journal_(journal), clock_(clock) {}

  // Whether there is one for `record`, which has none yet.
  // FailedPrecondition: its group is another's.  ResourceExhausted: its caller
  // (reserved_by) has kMaxOfOne.  Errors of Journal::Load().
  absl::Status CheckIsFree(const v1::MigrationRecord& record);

  void Heard(const std::string& id);
  void Forget(const std::string& id);

  // It is RESERVED, and its source was not heard for too long: since Heard(),
  // or else since the first time that this was asked.
  bool IsExpired(const v1::MigrationRecord& record);

 private:
  Journal& journal_;
  Clock& clock_;
  absl::Mutex mutex_;
  std::map<std::string, absl::Time> heard_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ckpt::migrate

#endif  // CKPT_MIGRATE_PLACES_H_
