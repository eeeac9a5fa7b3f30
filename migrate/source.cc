#include "migrate/source.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/check_cancel.h"
#include "base/fault.h"
#include "base/status.h"
#include "migrate/states.h"

namespace ckpt::migrate {
namespace {

void Enter(const RunOptions& options, v1::Phase phase) {
  if (options.progress != nullptr) options.progress->Enter(phase);
}

std::string Words(const absl::Status& status) {
  return absl::StrCat(absl::StatusCodeToString(status.code()), ": ",
                      status.message());
}

v1::MigrateReport MakeReport(const v1::MigrationRecord& record,
                             const v1::DumpReport& dump,
                             const v1::RestoreReport& restore) {
  v1::MigrateReport report;
  report.set_id(record.id());
  report.set_to(record.peer_name());
  report.set_cgroup(restore.cgroup());
  report.set_pid(restore.pid());
  report.set_processes(restore.processes());
  report.set_memory_bytes(dump.memory_bytes());
  report.set_image_bytes(dump.image_bytes());
  if (record.request().keep_image()) report.set_image(record.image());
  *report.mutable_warnings() = dump.warnings();
  report.mutable_warnings()->MergeFrom(restore.warnings());
  return report;
}

}  // namespace

absl::Status Source::Go(v1::MigrationRecord& record, v1::MigrationState next,
                        absl::string_view why, const RunOptions& options) {
  CKPT_RETURN_IF_ERROR(Advance(journal_, record, next, why));
  if (options.on_state != nullptr) options.on_state(record);
  return absl::OkStatus();
}

absl::StatusOr<v1::MigrateReport> Source::Run(v1::MigrationRecord& record,
                                              const RunOptions& options) {
  if (const auto known = journal_.Find(record.id());
      !absl::IsNotFound(known.status())) {
    return absl::AlreadyExistsError(
        absl::StrCat("this node knows of a migration ", record.id(),
                     " already: choose another id; nothing was started"));
  }
  const absl::Time start = options.clock->Now();
  CKPT_RETURN_IF_ERROR(
      Go(record, v1::MIGRATION_STATE_PREPARING,
         absl::StrCat("asked to move ", record.cgroup(), " to ", record.peer()),
         options));
  absl::Status status = FaultPoint("migrate.preparing");
  Enter(options, v1::PHASE_PREFLIGHT);
  if (status.ok()) status = Prepare(record, options);
  if (status.ok()) status = CheckCancel(options.cancel);
  if (status.ok()) {
    status = Go(record, v1::MIGRATION_STATE_LEAVING,
                "the destination has reserved a place", options);
  }
  if (!status.ok()) return Abort(record, std::move(status));
  absl::Time frozen_at = start;
  const auto dumped =
      job_.Leave(record,
                 {.begun =
                      [&](int image_dir_fd) {
                        peer_.BeginSend(record, image_dir_fd, options.cancel);
                      },
                  .hand_over =
                      [&](const HeldJob& job) {
                        frozen_at = job.frozen_at;
                        return SwitchOver(record, job, options);
                      },
                  .on_phase = [&](v1::Phase phase) { Enter(options, phase); }},
                 options.cancel);
  const auto decided = journal_.IsDecided(record);
  if (!decided.ok()) return CannotTell(record, decided.status());
  if (!*decided) return Abort(record, dumped.status());
  // From here on all errors leave the job with the destination, and what cannot
  // be written down is found by the decision.
  absl::Status gone = dumped.ok() ? absl::OkStatus() : EndHere(record);
  if (gone.ok()) NoteGone(record);
  if (options.on_state != nullptr) options.on_state(record);
  if (gone.ok()) gone = FaultPoint("migrate.gone");
  Enter(options, v1::PHASE_RELEASE);
  auto released = gone.ok() ? Complete(record) : gone;
  if (!released.ok()) return HasLeft(record, released.status());
  if (options.on_state != nullptr) options.on_state(record);
  const absl::Time end = options.clock->Now();
  v1::MigrateReport report =
      MakeReport(record, dumped.ok() ? *dumped : v1::DumpReport(), *released);
  if (options.progress != nullptr) options.progress->Finish(end - frozen_at);
  report.set_downtime_seconds(absl::ToDoubleSeconds(end - frozen_at));
  report.set_total_seconds(absl::ToDoubleSeconds(end - start));
  return report;
}

absl::Status Source::Prepare(v1::MigrationRecord& record,
                             const RunOptions& options) {
  CKPT_ASSIGN_OR_RETURN(*record.mutable_needs(), job_.Describe(record));
  if (options.progress != nullptr) {
    options.progress->SetExpectedBytes(record.needs().image_bytes());
  }
  absl::Status prepared = peer_.Prepare(record);
  record.clear_needs();
  return prepared;
}

absl::Status Source::SwitchOver(v1::MigrationRecord& record, const HeldJob& job,
                                const RunOptions& options) {
  CKPT_RETURN_IF_ERROR(FaultPoint("migrate.dumped"));
  CKPT_RETURN_IF_ERROR(CheckCancel(options.cancel));
  if (options.progress != nullptr) {
    options.progress->SetFrozenAt(job.frozen_at);
  }
  record.set_image_id(job.image_id);
  for (const v1::MigrationTask& task : job.tasks) *record.add_tasks() = task;
  if (!job.network_lock.table().empty()) {
    *record.mutable_network_lock() = job.network_lock;
  }
  CKPT_RETURN_IF_ERROR(peer_.Send(record, options.cancel));
  CKPT_RETURN_IF_ERROR(FaultPoint("migrate.sent"));
  Enter(options, v1::PHASE_BUILD);
  CKPT_RETURN_IF_ERROR(peer_.Hold(record, options.cancel));
  CKPT_RETURN_IF_ERROR(Go(record, v1::MIGRATION_STATE_READY,
                          "the destination holds the restored job", options));
  CKPT_RETURN_IF_ERROR(FaultPoint("migrate.ready"));
  if (options.await_switchover != nullptr) {
    CKPT_RETURN_IF_ERROR(options.await_switchover());
    // However long that took: the decision is for a destination that holds it.
    CKPT_RETURN_IF_ERROR(peer_.Hold(record, options.cancel));
  }
  CKPT_RETURN_IF_ERROR(CheckCancel(options.cancel));
  if (job.check_held != nullptr) CKPT_RETURN_IF_ERROR(job.check_held());
  absl::Status decided = journal_.Decide(record);
  if (!decided.ok()) {
    const auto is_decided = journal_.IsDecided(record);
    // The guardian would see the same file; one that cannot be read is taken
    // for none by it, too.
    if (!is_decided.ok() || !*is_decided) return decided;
  }
  // What follows is for people and for order: the file has decided.
  (void)AdvanceAnyway(journal_, record, v1::MIGRATION_STATE_COMMITTED,
                      "decided: the job is the destination's");
  if (options.on_state != nullptr) options.on_state(record);
  (void)FaultPoint("migrate.decided");
  return absl::OkStatus();
}

absl::Status Source::CannotTell(const v1::MigrationRecord& record,
                                const absl::Status& why) {
  return absl::UnavailableError(absl::StrCat(
      "whether the job has left cannot be read now (", Words(why),
      "); this node does what was decided when it can: ckpt ops show ",
      record.id()));
}

absl::Status Source::HasLeft(const v1::MigrationRecord& record,
                             const absl::Status& why) {
  return absl::UnavailableError(absl::StrCat(
      "the job has left, and is the destination's, which has not "
      "said yet that it runs (",
      Words(why), "); this node goes on telling it: ckpt ops show ",
      record.id()));
}

absl::Status Source::Abort(v1::MigrationRecord& record, absl::Status why) {
  if (why.ok()) why = absl::InternalError("the dump ended without a decision");
  // Not written down, it is found without a decision later, and so aborted.
  const absl::Status noted =
      Advance(journal_, record, v1::MIGRATION_STATE_ABORTED,
              absl::StrCat("the job stays here: ", Words(why)));
  why = AppendError(std::move(why), "writing down that the job stays", noted);
  (void)FaultPoint("migrate.aborted");
  (void)Unlock(journal_, job_, record, /*may_be_back=*/false);
  (void)TellAborted(record);
  return why;
}

absl::Status Source::TellAborted(v1::MigrationRecord& record) {
  if (record.state() != v1::MIGRATION_STATE_ABORTED) return absl::OkStatus();
  if (absl::Status told = peer_.Abort(record); !told.ok()) {
    Note(journal_, record,
         absl::StrCat("the destination was not told yet: ", Words(told)));
    return told;
  }
  return Go(record, v1::MIGRATION_STATE_CLOSED,
            "the destination knows that it is aborted");
}

absl::Status Source::EndHere(v1::MigrationRecord& record) {
  if (record.state() == v1::MIGRATION_STATE_READY) {
    (void)AdvanceAnyway(journal_, record, v1::MIGRATION_STATE_COMMITTED,
                        "the decision file is there");
  }
  return job_.EndTasks(record);
}

void Source::NoteGone(v1::MigrationRecord& record) {
  (void)AdvanceAnyway(journal_, record, v1::MIGRATION_STATE_GONE,
                      "no task of the job is left here");
}

absl::StatusOr<v1::RestoreReport> Source::Complete(
    v1::MigrationRecord& record) {
  auto released = peer_.Release(record);
  if (!released.ok()) {
    Note(journal_, record,
         absl::StrCat("the destination has not said that the job runs: ",
                      Words(released.status())));
    return released;
  }
  (void)AdvanceAnyway(journal_, record, v1::MIGRATION_STATE_DONE,
                      "the destination says that the job is its own");
  TidyUp(record);
  (void)Unlock(journal_, job_, record, /*may_be_back=*/false);
  return released;
}

absl::Status Source::Unlock(Journal& journal, SourceJob& job,
                            v1::MigrationRecord& record, bool may_be_back) {
  if (!record.has_network_lock()) return absl::OkStatus();
  CKPT_ASSIGN_OR_RETURN(const bool decided, journal.IsDecided(record));
  using Whereabouts = SourceJob::Whereabouts;
  const Whereabouts place = !decided      ? Whereabouts::kStayed
                            : may_be_back ? Whereabouts::kMayBeBack
                                          : Whereabouts::kLeft;
  CKPT_RETURN_IF_ERROR(job.Unlock(record, place));
  const std::string table = record.network_lock().table();
  record.clear_network_lock();
  Note(journal, record,
       absl::StrCat("the network lock, table inet ", table, ", is removed"));
  return absl::OkStatus();
}

void Source::TidyUp(v1::MigrationRecord& record) {
  if (record.state() != v1::MIGRATION_STATE_DONE ||
      record.request().keep_image() || record.image_dropped() ||
      !job_.DropImage(record).ok()) {
    return;
  }
  record.set_image_dropped(true);
  (void)journal_.Save(record);
}

absl::Status Source::Resume(v1::MigrationRecord& record) {
  if (IsFinal(record.state())) {
    TidyUp(record);
    return absl::OkStatus();
  }
  CKPT_ASSIGN_OR_RETURN(const bool decided, journal_.IsDecided(record));
  if (decided) {
    if (record.state() != v1::MIGRATION_STATE_GONE) {
      CKPT_RETURN_IF_ERROR(EndHere(record));
      NoteGone(record);
    }
    CKPT_RETURN_IF_ERROR(Complete(record).status());
    return journal_.Save(record);  // nobody else knows of a failure
  }
  if (record.state() == v1::MIGRATION_STATE_ABORTED) {
    (void)Unlock(journal_, job_, record, /*may_be_back=*/false);
    return TellAborted(record);
  }
  const bool same_kernel = record.boot_id() == job_.BootId();
  if (!same_kernel && record.state() != v1::MIGRATION_STATE_PREPARING) {
    return Go(record, v1::MIGRATION_STATE_LOST,
              "this node's kernel ended without a decision, and the job with "
              "it; what the destination has of it, it keeps for an operator");
  }
  CKPT_RETURN_IF_ERROR(
      Go(record, v1::MIGRATION_STATE_ABORTED,
         same_kernel ? "the job stays here: this agent ended without a decision"
                     : "nothing was sent before this node's kernel ended"));
  (void)Unlock(journal_, job_, record, /*may_be_back=*/false);
  return TellAborted(record);
}

absl::StatusOr<v1::MigrationDecision> Source::Answer(
    Journal& journal, const v1::MigrationRecord& asked) {
  const auto record = journal.Find(asked.id());
  if (absl::IsNotFound(record.status())) {
    return v1::MIGRATION_DECISION_UNKNOWN;
  }
  CKPT_RETURN_IF_ERROR(record.status());
  if (!IsOfSource(record->state())) {
    return absl::FailedPreconditionError(
        absl::StrCat("this node is the destination of migration ", asked.id(),
                     ", and does not decide: who asks has a wrong address of "
                     "the source"));
  }
  if (record->generation() != asked.generation()) {
    return v1::MIGRATION_DECISION_UNKNOWN;
  }
  switch (record->state()) {
    case v1::MIGRATION_STATE_GONE:
    case v1::MIGRATION_STATE_DONE:
      return v1::MIGRATION_DECISION_COMMITTED;
    case v1::MIGRATION_STATE_LOST:
      return v1::MIGRATION_DECISION_LOST;
    case v1::MIGRATION_STATE_ABORTED:
    case v1::MIGRATION_STATE_CLOSED: {
      CKPT_ASSIGN_OR_RETURN(const bool decided, journal.IsDecided(*record));
      // Given up by an operator, who may have restored it elsewhere.
      return decided ? v1::MIGRATION_DECISION_GIVEN_UP
                     : v1::MIGRATION_DECISION_ABORTED;
    }
    default:
      return v1::MIGRATION_DECISION_UNDECIDED;
  }
}

absl::Status Source::GiveUpPeer(v1::MigrationRecord& record) {
  if (record.state() != v1::MIGRATION_STATE_GONE &&
      record.state() != v1::MIGRATION_STATE_ABORTED) {
    return absl::FailedPreconditionError(absl::StrCat(
        "migration ", record.id(), " is ", StateName(record.state()),
        " here: there is nothing to be decided by hand"));
  }
  return Go(record, v1::MIGRATION_STATE_CLOSED,
            "an operator gives the destination up");
}

}  // namespace ckpt::migrate
