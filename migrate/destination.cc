#include "migrate/destination.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/status.h"
#include "migrate/states.h"

namespace ckpt::migrate {
namespace {

bool IsDecidedHere(v1::MigrationState state) {
  return state == v1::MIGRATION_STATE_TAKEN ||
         state == v1::MIGRATION_STATE_RELEASING ||
         state == v1::MIGRATION_STATE_RUNNING;
}

absl::Status IsAnother(const std::string& id) {
  return absl::FailedPreconditionError(absl::StrCat(
      "this node knows of another migration ", id,
      ", or of one that is over: choose another id; nothing was done"));
}

}  // namespace

absl::StatusOr<v1::MigrationRecord> Destination::Find(
    const std::string& id, const std::string& generation) {
  CKPT_ASSIGN_OR_RETURN(v1::MigrationRecord record, journal_.Find(id));
  if (record.generation() != generation || IsOfSource(record.state())) {
    return IsAnother(id);
  }
  return record;
}

absl::Status Destination::Prepare(v1::MigrationRecord record) {
  const auto known = journal_.Find(record.id());
  if (known.ok()) {
    const bool again = known->generation() == record.generation() &&
                       known->state() == v1::MIGRATION_STATE_RESERVED;
    return again ? absl::OkStatus() : IsAnother(record.id());
  }
  if (!absl::IsNotFound(known.status())) return known.status();
  CKPT_RETURN_IF_ERROR(FaultPoint("migrate.reserve"));
  CKPT_RETURN_IF_ERROR(job_.Reserve(record));
  record.set_state(v1::MIGRATION_STATE_UNSPECIFIED);
  record.clear_steps();
  record.clear_tasks();
  record.clear_needs();
  return Advance(journal_, record, v1::MIGRATION_STATE_RESERVED,
                 absl::StrCat("a place for the job of ", record.peer_name()));
}

absl::Status Destination::Hold(const std::string& id,
                               const std::string& generation) {
  CKPT_ASSIGN_OR_RETURN(v1::MigrationRecord record, Find(id, generation));
  if (record.state() == v1::MIGRATION_STATE_HELD) return absl::OkStatus();
  CKPT_RETURN_IF_ERROR(FaultPoint("migrate.arrived"));
  if (record.state() == v1::MIGRATION_STATE_RESERVED) {
    CKPT_ASSIGN_OR_RETURN(*record.mutable_image_id(), job_.Verify(record));
    CKPT_RETURN_IF_ERROR(Advance(journal_, record, v1::MIGRATION_STATE_RECEIVED,
                                 "the image is whole and on the disk"));
  }
  if (record.state() != v1::MIGRATION_STATE_RECEIVED) return IsAnother(id);
  CKPT_RETURN_IF_ERROR(FaultPoint("migrate.received"));
  CKPT_RETURN_IF_ERROR(job_.Hold(record));
  CKPT_RETURN_IF_ERROR(Advance(journal_, record, v1::MIGRATION_STATE_HELD,
                               "the job is built; nothing of it runs"));
  return FaultPoint("migrate.held");
}

absl::Status Destination::Take(v1::MigrationRecord& record,
                               absl::string_view why) {
  if (IsDecidedHere(record.state())) return absl::OkStatus();
  return Advance(journal_, record, v1::MIGRATION_STATE_TAKEN, why);
}

absl::Status Destination::Finish(v1::MigrationRecord& record) {
  if (record.state() == v1::MIGRATION_STATE_RELEASING) {
    CKPT_ASSIGN_OR_RETURN(const DestinationJob::Fate fate, job_.FateOf(record));
    if (fate == DestinationJob::Fate::kNeverRan) {
      CKPT_RETURN_IF_ERROR(Advance(journal_, record, v1::MIGRATION_STATE_TAKEN,
                                   "no task was let go: restored again"));
    } else {
      CKPT_RETURN_IF_ERROR(
          Advance(journal_, record, v1::MIGRATION_STATE_RUNNING,
                  fate == DestinationJob::Fate::kRuns
                      ? "the job runs"
                      : "the job was let go, and has ended by itself since"));
    }
  }
  if (record.state() == v1::MIGRATION_STATE_TAKEN) {
    auto report = job_.Run(record, [&](const std::string& log) {
      record.set_restore_log(log);
      CKPT_RETURN_IF_ERROR(Advance(journal_, record,
                                   v1::MIGRATION_STATE_RELEASING,
                                   "the job is built, and let go next"));
      return FaultPoint("migrate.releasing");
    });
    if (!report.ok()) {
      const std::string why =
          absl::StrCat("it does not run yet: ", report.status().message());
      if (record.state() != v1::MIGRATION_STATE_RELEASING) {
        Note(journal_, record, why);
        return report.status();
      }
      // What was built is killed, or was let go: looked at the next time.
      Note(journal_, record, why);
      return report.status();
    }
    *record.mutable_restore_report() = *std::move(report);
    (void)FaultPoint("migrate.released");
    CKPT_RETURN_IF_ERROR(Advance(journal_, record, v1::MIGRATION_STATE_RUNNING,
                                 "every task was let go: the job runs here"));
  }
  TidyUp(record);
  return absl::OkStatus();
}

void Destination::TidyUp(v1::MigrationRecord& record) {
  if (record.state() != v1::MIGRATION_STATE_RUNNING ||
      record.request().keep_image() || record.image_dropped() ||
      !job_.DropImage(record).ok()) {
    return;
  }
  record.set_image_dropped(true);
  (void)journal_.Save(record);
}

absl::StatusOr<v1::RestoreReport> Destination::Release(
    const std::string& id, const std::string& generation) {
  CKPT_ASSIGN_OR_RETURN(v1::MigrationRecord record, Find(id, generation));
  if (record.state() == v1::MIGRATION_STATE_RUNNING) {
    return record.restore_report();
  }
  (void)FaultPoint("migrate.release_asked");
  CKPT_RETURN_IF_ERROR(Take(record, "the source has committed"));
  (void)FaultPoint("migrate.taken");
  CKPT_RETURN_IF_ERROR(Finish(record));
  return record.restore_report();
}

absl::Status Destination::Abort(const v1::MigrationRecord& asked) {
  auto known = journal_.Find(asked.id());
  if (absl::IsNotFound(known.status())) {
    // What was sent before may yet come: it is to find this.
    v1::MigrationRecord tombstone = asked;
    tombstone.set_state(v1::MIGRATION_STATE_UNSPECIFIED);
    tombstone.clear_steps();
    return Advance(journal_, tombstone, v1::MIGRATION_STATE_DROPPED,
                   "aborted by the source before it had come");
  }
  CKPT_RETURN_IF_ERROR(known.status());
  // Nothing of that one is here.
  if (known->generation() != asked.generation() || IsOfSource(known->state())) {
    return absl::OkStatus();
  }
  return Drop(*known, "the source keeps the job");
}

absl::Status Destination::Drop(v1::MigrationRecord& record,
                               absl::string_view why) {
  if (record.state() == v1::MIGRATION_STATE_DROPPED) return absl::OkStatus();
  if (IsDecidedHere(record.state())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "migration ", record.id(), " is decided: the job is this node's"));
  }
  (void)FaultPoint("migrate.drop");
  CKPT_RETURN_IF_ERROR(job_.Drop(record));
  return Advance(journal_, record, v1::MIGRATION_STATE_DROPPED, why);
}

void Destination::LostHold(const std::string& id) {
  auto record = journal_.Find(id);
  if (!record.ok() || record->state() != v1::MIGRATION_STATE_HELD) return;
  (void)Advance(journal_, *record, v1::MIGRATION_STATE_RECEIVED,
                "what was held is no more; the image is whole");
}

absl::Status Destination::Recover(v1::MigrationRecord& record) {
  TidyUp(record);
  if (record.state() != v1::MIGRATION_STATE_HELD) return absl::OkStatus();
  return Advance(journal_, record, v1::MIGRATION_STATE_RECEIVED,
                 "the agent ended, and what it held with it; the image is "
                 "whole");
}

absl::Status Destination::Resume(v1::MigrationRecord& record, Peer& source) {
  if (IsFinal(record.state())) return absl::OkStatus();
  if (IsDecidedHere(record.state())) return Finish(record);
  const auto decision = source.Decision(record);
  if (!decision.ok()) {
    Note(journal_, record,
         absl::StrCat("the source does not answer; nothing runs: ",
                      decision.status().message()));
    return decision.status();
  }
  switch (*decision) {
    case v1::MIGRATION_DECISION_COMMITTED:
      CKPT_RETURN_IF_ERROR(Take(record, "the source has committed"));
      return Finish(record);
    case v1::MIGRATION_DECISION_ABORTED:
      return Drop(record, "the source keeps the job");
    case v1::MIGRATION_DECISION_UNKNOWN:
      if (record.state() == v1::MIGRATION_STATE_RESERVED) {
        return Drop(record, "the source does not know of it");
      }
      Note(journal_, record,
           absl::StrCat("the source does not know of it: look whether the job "
                        "runs there, and tell: ckpt ops decide ",
                        record.id(), " --keep|--drop"));
      break;
    default:
      break;
  }
  return absl::UnavailableError("the source has not decided yet");
}

absl::Status Destination::Decide(v1::MigrationRecord& record, bool keep) {
  if (!keep) return Drop(record, "an operator has decided so");
  if (record.state() == v1::MIGRATION_STATE_RESERVED) {
    return absl::FailedPreconditionError(
        absl::StrCat("migration ", record.id(),
                     " has no whole image here: it can only be dropped"));
  }
  CKPT_RETURN_IF_ERROR(Take(record, "an operator has decided so"));
  return Finish(record);
}

}  // namespace ckpt::migrate
