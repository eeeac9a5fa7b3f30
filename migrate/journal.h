// What a node writes down of migrations, so that each is decided whatever dies:
// one file for each, and one more once the source has decided.
//
//   CKPT_ASSIGN_OR_RETURN(auto journal, FileJournal::Open(directory));
//   CKPT_RETURN_IF_ERROR(Advance(*journal, record, v1::MIGRATION_STATE_READY,
//                                "the destination holds the job"));
//   CKPT_RETURN_IF_ERROR(journal->Decide(record));    // no way back from here
//
// The decision is the file ID.GENERATION.decision, and nothing else: it is
// there, or the job is the source's.  So whoever finds the source's agent dead
// (its guardian, another agent) sees the same by one look at a directory.
#ifndef CKPT_MIGRATE_JOURNAL_H_
#define CKPT_MIGRATE_JOURNAL_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "proto/migration.pb.h"

namespace ckpt::migrate {

inline constexpr uint32_t kRecordVersion = 1;

// A seam for tests.  Thread-safe.
class Journal {
 public:
  virtual ~Journal() = default;

  // On the disk when it returns OK; on failure what was there stays.
  // InvalidArgument: the id is no name.
  virtual absl::Status Save(const v1::MigrationRecord& record) = 0;
  // NotFound.  FailedPrecondition: of a newer ckpt.  DataLoss: damaged.
  virtual absl::StatusOr<v1::MigrationRecord> Find(const std::string& id) = 0;
  // In no particular order; what cannot be read is left out.
  virtual absl::StatusOr<std::vector<v1::MigrationRecord>> Load() = 0;
  virtual absl::Status Remove(const std::string& id) = 0;

  // OK: decided, and on the disk.  On failure it is not decided, or IsDecided()
  // says that it is.
  virtual absl::Status Decide(const v1::MigrationRecord& record) = 0;
  // An error: nobody can tell now.
  virtual absl::StatusOr<bool> IsDecided(const v1::MigrationRecord& record) = 0;
};

// Brings the record to its next state, in the journal and then in `record`.
// Internal when there is no such transition; errors of Save(): the record is as
// it was.
absl::Status Advance(Journal& journal, v1::MigrationRecord& record,
                     v1::MigrationState next, absl::string_view why);

// The same for what is true whatever is written down: the record is in that
// state also when Save() fails.
absl::Status AdvanceAnyway(Journal& journal, v1::MigrationRecord& record,
                           v1::MigrationState next, absl::string_view why);

// Adds a step to the record that is no transition; not being written down does
// no harm.
void Note(Journal& journal, v1::MigrationRecord& record, absl::string_view why);

class FileJournal : public Journal {
 public:
  // Makes the directory, durably, for its owner alone.  Unavailable: another
  // agent has it, and keeps it for all of `patience`: one that was killed may
  // take a moment to go.
  static absl::StatusOr<std::unique_ptr<FileJournal>> Open(
      const std::string& directory, absl::Duration patience = absl::Seconds(5));

  absl::Status Save(const v1::MigrationRecord& record) override;
  absl::StatusOr<v1::MigrationRecord> Find(const std::string& id) override;
  absl::StatusOr<std::vector<v1::MigrationRecord>> Load() override;
  absl::Status Remove(const std::string& id) override;
  absl::Status Decide(const v1::MigrationRecord& record) override;
  absl::StatusOr<bool> IsDecided(const v1::MigrationRecord& record) override;

  // For who looks at the decision without us.
  int dir_fd() const { return dir_.get(); }
  static std::string DecisionName(const v1::MigrationRecord& record);

 private:
  FileJournal(std::string directory, UniqueFd dir)
      : directory_(std::move(directory)), dir_(std::move(dir)) {}

  absl::Status Write(const std::string& name, const std::string& bytes);
  // What a killed agent has left: half-written files, and decisions whose
  // record was forgotten.
  void RemoveLeftovers();

  const std::string directory_;
  const UniqueFd dir_;  // locked
};

}  // namespace ckpt::migrate

#endif  // CKPT_MIGRATE_JOURNAL_H_
