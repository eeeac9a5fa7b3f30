#include "migrate/destination.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/status.h"
#include "migrate/states.h"

namespace ckpt::migrate {
namespace {

absl::Status IsAnother(const std::string& id) {
  return absl::FailedPreconditionError(absl::StrCat(
      "this node knows of another migration ", id,
      ", or of one that is over: choose another id; nothing was done"));
}

absl::Status IsOver(const v1::MigrationRecord& record) {
  return absl::FailedPreconditionError(absl::StrCat(
      "migration ", record.id(), " is over at its destination: ",
      record.steps_size() > 0 ? record.steps(record.steps_size() - 1).why()
                              : StateName(record.state()),
      "; nothing of the job is there: migrate it again"));
}

constexpr size_t kMaxGenerationBytes = 100;
constexpr char kHoldLost[] = "what was held is no more; the image is whole";

absl::Status CheckAsked(const v1::MigrationRecord& asked) {
  const std::string& generation = asked.generation();
  if (generation.empty() || generation.size() > kMaxGenerationBytes ||
      !std::all_of(generation.begin(), generation.end(),
                   [](unsigned char c) { return absl::ascii_isalnum(c); })) {
    return absl::InvalidArgumentError(
        "a migration's generation is 1 to 100 letters and digits; nothing was "
        "done");
  }
  if (asked.format_version() <= kRecordVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "the source's ckptd is newer than the destination's, which does not "
      "understand it: install the newer one there; nothing was touched");
}

// What this node keeps of the other one's record.
v1::MigrationRecord OwnRecord(const v1::MigrationRecord& asked) {
  v1::MigrationRecord record;
  record.set_format_version(kRecordVersion);
  record.set_id(asked.id());
  record.set_generation(asked.generation());
  record.set_peer(asked.peer());
  record.set_peer_name(asked.peer_name());
  v1::MigrateRequest& request = *record.mutable_request();
  request.set_cgroup(asked.request().cgroup());
  request.set_hierarchy(asked.request().hierarchy());
  request.set_to(asked.request().to());
  request.set_to_cgroup(asked.request().to_cgroup());
  request.set_keep_image(asked.request().keep_image());
  request.set_timeout_seconds(asked.request().timeout_seconds());
  record.set_cgroup(asked.cgroup());
  record.set_hierarchy(asked.hierarchy());
  record.set_image(asked.image());
  record.set_boot_id(asked.boot_id());
  record.set_reserved_by(asked.reserved_by());
  return record;
}

void SetTasks(v1::MigrationRecord& record, const BuiltJob& job) {
  *record.mutable_tasks() = {job.tasks.begin(), job.tasks.end()};
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

absl::Status Destination::Prepare(const v1::MigrationRecord& asked) {
  CKPT_RETURN_IF_ERROR(CheckAsked(asked));
  const absl::MutexLock lock(&reserving_);
  const auto known = journal_.Find(asked.id());
  if (known.ok()) {
    if (known->generation() != asked.generation()) return IsAnother(asked.id());
    if (known->state() == v1::MIGRATION_STATE_DROPPED) return IsOver(*known);
    if (known->state() != v1::MIGRATION_STATE_RESERVED) {
      return IsAnother(asked.id());
    }
    places_.Heard(asked.id());
    return absl::OkStatus();
  }
  if (!absl::IsNotFound(known.status())) return known.status();
  CKPT_RETURN_IF_ERROR(FaultPoint("migrate.reserve"));
  v1::MigrationRecord record = OwnRecord(asked);
  CKPT_RETURN_IF_ERROR(places_.CheckIsFree(record));
  if (asked.has_needs()) *record.mutable_needs() = asked.needs();
  CKPT_RETURN_IF_ERROR(job_.Reserve(record));
  record.clear_needs();
  CKPT_RETURN_IF_ERROR(
      Advance(journal_, record, v1::MIGRATION_STATE_RESERVED,
              absl::StrCat("a place for the job of ", record.peer_name())));
  places_.Heard(record.id());
  return absl::OkStatus();
}

absl::Status Destination::Receive(v1::MigrationRecord& record) {
  CKPT_ASSIGN_OR_RETURN(*record.mutable_image_id(), job_.Verify(record));
  CKPT_RETURN_IF_ERROR(Advance(journal_, record, v1::MIGRATION_STATE_RECEIVED,
                               "the image is whole and on the disk"));
  places_.Forget(record.id());
  return absl::OkStatus();
}

absl::Status Destination::BeginBuilding(v1::MigrationRecord& record) {
  CKPT_RETURN_IF_ERROR(job_.EndBuilt(record));
  record.clear_tasks();
  record.set_boot_id(job_.BootId());
  record.set_building(true);
  return journal_.Save(record);
}

absl::Status Destination::Hold(const std::string& id,
                               const std::string& generation) {
  CKPT_ASSIGN_OR_RETURN(v1::MigrationRecord record, Find(id, generation));
  if (record.state() == v1::MIGRATION_STATE_DROPPED) return IsOver(record);
  if (record.state() == v1::MIGRATION_STATE_HELD) {
    if (job_.IsHeld(id)) return absl::OkStatus();
    CKPT_RETURN_IF_ERROR(
        Advance(journal_, record, v1::MIGRATION_STATE_RECEIVED, kHoldLost));
  }
  CKPT_RETURN_IF_ERROR(FaultPoint("migrate.arrived"));
  if (record.state() == v1::MIGRATION_STATE_RESERVED) {
    CKPT_RETURN_IF_ERROR(Receive(record));
  }
  if (record.state() != v1::MIGRATION_STATE_RECEIVED) return IsAnother(id);
  CKPT_RETURN_IF_ERROR(FaultPoint("migrate.received"));
  CKPT_RETURN_IF_ERROR(BeginBuilding(record));
  const auto built = job_.Hold(record);
  record.set_building(false);
  if (!built.ok()) {
    Note(journal_, record,
         absl::StrCat("it was not built: ", built.status().message()));
    return built.status();
  }
  SetTasks(record, *built);
  CKPT_RETURN_IF_ERROR(Advance(journal_, record, v1::MIGRATION_STATE_HELD,
                               "the job is built; nothing of it runs"));
  return FaultPoint("migrate.held");
}

bool Destination::IsDecided(const v1::MigrationRecord& record) {
  return IsTaken(record.state());
}

absl::Status Destination::Take(v1::MigrationRecord& record,
                               absl::string_view why) {
  if (IsTaken(record.state())) return absl::OkStatus();
  return Advance(journal_, record, v1::MIGRATION_STATE_TAKEN, why);
}

absl::Status Destination::FindOut(v1::MigrationRecord& record) {
  CKPT_ASSIGN_OR_RETURN(const DestinationJob::Fate fate, job_.FateOf(record));
  switch (fate) {
    case DestinationJob::Fate::kRuns:
      return Advance(journal_, record, v1::MIGRATION_STATE_RUNNING,
                     "the job runs");
    case DestinationJob::Fate::kEnded:
      return Advance(journal_, record, v1::MIGRATION_STATE_RUNNING,
                     "the job was let go, and has ended by itself since");
    case DestinationJob::Fate::kNeverRan:
      CKPT_RETURN_IF_ERROR(Advance(journal_, record, v1::MIGRATION_STATE_TAKEN,
                                   "no task was let go: restored again"));
      job_.DropLog(record);
      return absl::OkStatus();
    case DestinationJob::Fate::kUnknown:
      break;
  }
  const std::string why = absl::StrCat(
      "whether the job ran here before this node or CRIU's log ",
      "was lost "
      "cannot be known; the image is kept: ckpt ops decide ",
      record.id(),
      " --keep restores it, as it was when it left its source; --drop takes it "
      "for ended");
  Note(journal_, record, why);
  return absl::UnavailableError(why);
}

absl::Status Destination::LetGo(v1::MigrationRecord& record) {
  absl::StatusOr<v1::RestoreReport> report;
  for (bool again = false;; again = true) {
    const bool held = job_.IsHeld(record.id());
    if (!held) CKPT_RETURN_IF_ERROR(BeginBuilding(record));
    report = job_.Run(record, [&](const BuiltJob& job) {
      record.set_restore_log(job.log);
      record.set_building(false);
      SetTasks(record, job);
      CKPT_RETURN_IF_ERROR(Advance(journal_, record,
                                   v1::MIGRATION_STATE_RELEASING,
                                   "the job is built, and let go next"));
      return FaultPoint("migrate.releasing");
    });
    if (report.ok()) break;
    // Lost while it was held: it is built once more.
    if (held && !again && record.state() == v1::MIGRATION_STATE_TAKEN) continue;
    // In RELEASING, what was built is killed, or was let go: looked at the next
    // time.
    record.set_building(false);
    Note(journal_, record,
         absl::StrCat("it does not run yet: ", report.status().message()));
    return report.status();
  }
  *record.mutable_restore_report() = *std::move(report);
  (void)FaultPoint("migrate.released");
  return Advance(journal_, record, v1::MIGRATION_STATE_RUNNING,
                 "every task was let go: the job runs here");
}

absl::Status Destination::Finish(v1::MigrationRecord& record) {
  if (record.state() == v1::MIGRATION_STATE_RELEASING) {
    CKPT_RETURN_IF_ERROR(FindOut(record));
  }
  if (record.state() == v1::MIGRATION_STATE_TAKEN) {
    CKPT_RETURN_IF_ERROR(LetGo(record));
  }
  TidyUp(record);
  return absl::OkStatus();
}

void Destination::TidyUp(v1::MigrationRecord& record) {
  if (record.state() != v1::MIGRATION_STATE_RUNNING) return;
  job_.DropLog(record);
  if (record.request().keep_image() || record.image_dropped() ||
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
    CKPT_RETURN_IF_ERROR(CheckAsked(asked));
    v1::MigrationRecord tombstone = OwnRecord(asked);
    return Advance(journal_, tombstone, v1::MIGRATION_STATE_DROPPED,
                   "aborted by the source before it had come");
  }
  CKPT_RETURN_IF_ERROR(known.status());
  // Nothing of that one is here.
  if (known->generation() != asked.generation() || IsOfSource(known->state())) {
    return absl::OkStatus();
  }
  if (known->state() == v1::MIGRATION_STATE_DROPPED) {
    // What has come since: of a source that did not know that it is over.
    return job_.Drop(*known);
  }
  return Drop(*known, "the source keeps the job");
}

absl::Status Destination::Drop(v1::MigrationRecord& record,
                               absl::string_view why) {
  if (record.state() == v1::MIGRATION_STATE_DROPPED) return absl::OkStatus();
  if (IsTaken(record.state())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "migration ", record.id(), " is decided: the job is this node's"));
  }
  (void)FaultPoint("migrate.drop");
  CKPT_RETURN_IF_ERROR(job_.EndBuilt(record));
  record.set_building(false);
  CKPT_RETURN_IF_ERROR(job_.Drop(record));
  CKPT_RETURN_IF_ERROR(
      Advance(journal_, record, v1::MIGRATION_STATE_DROPPED, why));
  places_.Forget(record.id());
  return absl::OkStatus();
}

absl::Status Destination::Expire(v1::MigrationRecord& record) {
  if (!record.image_id().empty()) {
    // What is whole may be all that is left of the job.
    absl::Status received = Receive(record);
    if (received.ok()) {
      return absl::UnavailableError("the source does not answer");
    }
    if (!absl::IsNotFound(received)) return received;
  }
  return Drop(record,
              absl::StrCat("the place was kept for ",
                           absl::FormatDuration(Places::kLimit),
                           " beyond its --timeout, and the source has said "
                           "nothing"));
}

void Destination::LostHold(const std::string& id) {
  auto record = journal_.Find(id);
  if (!record.ok() || record->state() != v1::MIGRATION_STATE_HELD) return;
  (void)Advance(journal_, *record, v1::MIGRATION_STATE_RECEIVED, kHoldLost);
}

absl::Status Destination::Recover(v1::MigrationRecord& record) {
  TidyUp(record);
  if (record.building()) {
    CKPT_RETURN_IF_ERROR(job_.EndBuilt(record));
    record.set_building(false);
    CKPT_RETURN_IF_ERROR(journal_.Save(record));
  }
  if (record.state() != v1::MIGRATION_STATE_HELD) return absl::OkStatus();
  CKPT_RETURN_IF_ERROR(job_.EndBuilt(record));
  return Advance(journal_, record, v1::MIGRATION_STATE_RECEIVED,
                 "the agent ended, and what it held with it; the image is "
                 "whole");
}

absl::Status Destination::Resume(v1::MigrationRecord& record, Peer& source) {
  if (IsFinal(record.state())) return absl::OkStatus();
  if (IsTaken(record.state())) return Finish(record);
  const auto decision = source.Decision(record);
  if (!decision.ok()) {
    if (places_.IsExpired(record)) return Expire(record);
    Note(journal_, record,
         absl::StrCat("the source does not answer; nothing runs: ",
                      decision.status().message()));
    return decision.status();
  }
  if (record.state() == v1::MIGRATION_STATE_RESERVED) {
    places_.Heard(record.id());
  }
  return DoAsTold(record, *decision);
}

absl::Status Destination::DoAsTold(v1::MigrationRecord& record,
                                   v1::MigrationDecision decision) {
  const std::string decide =
      absl::StrCat("ckpt ops decide ", record.id(), " --keep|--drop");
  switch (decision) {
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
                        "runs there, and tell: ",
                        decide));
      break;
    case v1::MIGRATION_DECISION_GIVEN_UP:
      Note(journal_, record,
           absl::StrCat("the job had left the source, where an operator has "
                        "given this node up: look whether it was restored "
                        "elsewhere, and tell: ",
                        decide));
      break;
    case v1::MIGRATION_DECISION_LOST:
      return OutliveSource(record);
    default:
      break;
  }
  return absl::UnavailableError("the source has not decided yet");
}

absl::Status Destination::OutliveSource(v1::MigrationRecord& record) {
  if (record.state() == v1::MIGRATION_STATE_RESERVED) {
    const absl::Status received = Receive(record);
    if (absl::IsNotFound(received)) {
      return Drop(record,
                  "the source's kernel ended, and the job with it, before the "
                  "whole image was here");
    }
    CKPT_RETURN_IF_ERROR(received);
  }
  const std::string why = absl::StrCat(
      "the source's kernel ended before the decision, and the job with it; "
      "this image is what is left: ckpt ops decide ",
      record.id(), " --keep runs it here, --drop removes it");
  Note(journal_, record, why);
  return absl::UnavailableError(why);
}

absl::Status Destination::Decide(v1::MigrationRecord& record, bool keep) {
  if (record.state() == v1::MIGRATION_STATE_RELEASING) {
    CKPT_ASSIGN_OR_RETURN(const DestinationJob::Fate fate, job_.FateOf(record));
    if (fate == DestinationJob::Fate::kUnknown) {
      CKPT_RETURN_IF_ERROR(Advance(
          journal_, record,
          keep ? v1::MIGRATION_STATE_TAKEN : v1::MIGRATION_STATE_RUNNING,
          keep ? "an operator says that it has not run"
               : "an operator says that it has run, and ended"));
      return Finish(record);
    }
  }
  if (IsTaken(record.state())) {
    return absl::FailedPreconditionError(
        absl::StrCat("migration ", record.id(),
                     " is decided: the job is this node's, and is ",
                     StateName(record.state()), "; see ckpt ops show"));
  }
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
