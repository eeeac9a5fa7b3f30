#include "agent/migrations.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "agent/run_limit.h"
#include "base/clock.h"
#include "base/status.h"
#include "migrate/states.h"

namespace ckpt::agent {
namespace {

// How long a call of the other node waits for one that is under way.
constexpr absl::Duration kClaimLimit = absl::Seconds(20);
// How often what is unsettled is looked at, and how rarely at most.
constexpr absl::Duration kFirstPause = absl::Milliseconds(500);
constexpr absl::Duration kLongestPause = absl::Seconds(10);
constexpr absl::Duration kTick = absl::Milliseconds(250);
// Each may wait for a node that does not answer.  One node has but a share, and
// nothing waits for a worker but here, so that what is urgent comes first.
constexpr WorkerPool::Limits kWorkers = {
    .threads = 8, .waiting = 0, .share = 2};
constexpr absl::Duration kCancelPoll = absl::Milliseconds(50);
// How often those who watch a migration hear of it while nothing happens.
constexpr absl::Duration kTellEvery = absl::Milliseconds(500);

// Calls `tell` again and again, by a thread of its own, for as long as it
// lives.
class Ticker {
 public:
  explicit Ticker(std::function<void()> tell)
      : thread_([this, tell = std::move(tell)] {
          while (!end_.WaitForNotificationWithTimeout(kTellEvery)) tell();
        }) {}
  ~Ticker() {
    end_.Notify();
    thread_.join();
  }
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

 private:
  absl::Notification end_;
  std::thread thread_;  // the last: it uses the other
};

// Runs nowhere until it is gone on with.
bool IsUrgent(v1::MigrationState state) {
  return state == v1::MIGRATION_STATE_COMMITTED ||
         state == v1::MIGRATION_STATE_GONE ||
         state == v1::MIGRATION_STATE_TAKEN ||
         state == v1::MIGRATION_STATE_RELEASING;
}

}  // namespace

Migrations::Migrations(migrate::Journal& journal,
                       migrate::SourceJob& source_job,
                       migrate::DestinationJob& destination_job,
                       OpenPeer open_peer)
    : journal_(journal),
      source_job_(source_job),
      destination_job_(destination_job),
      open_peer_(std::move(open_peer)),
      destination_(journal, destination_job),
      workers_(kWorkers) {}

Migrations::~Migrations() {
  {
    const absl::MutexLock lock(&mutex_);
    ending_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<Migrations::Claim> Migrations::TakeClaim(const std::string& id,
                                                        absl::Duration limit) {
  const auto is_free = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return IsFree(id);
  };
  const absl::MutexLock lock(&mutex_);
  if (!mutex_.AwaitWithTimeout(absl::Condition(&is_free), limit)) {
    return absl::UnavailableError(
        absl::StrCat("migration ", id, " is being worked on; ask again"));
  }
  busy_.insert(id);
  return Claim(nullptr, [this, id](void*) {
    const absl::MutexLock lock(&mutex_);
    busy_.erase(id);
    // Not before: what was done under the claim may be unsettled, and who
    // looked while it was held found a record of before, or none at all.
    look_ = true;
  });
}

absl::Status Migrations::Recover() {
  CKPT_ASSIGN_OR_RETURN(auto records, journal_.Load());
  absl::Status status;
  for (v1::MigrationRecord& record : records) {
    absl::Status done;
    if (!migrate::IsOfSource(record.state())) {
      done = destination_.Recover(record);
    } else if (!migrate::IsFinal(record.state())) {
      const auto decided = journal_.IsDecided(record);
      done = decided.status();
      if (decided.ok() && *decided) done = source_job_.EndTasks(record);
    }
    if (status.ok()) status = done;
  }
  return status;
}

void Migrations::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void Migrations::Loop() {
  const auto due = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return ending_ || look_;
  };
  while (true) {
    {
      const absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&due));
      if (ending_) return;
      look_ = false;
    }
    ResumeAll();
    const auto ending = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return ending_;
    };
    const absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&ending), kTick)) return;
  }
}

void Migrations::ResumeAll() {
  auto records = journal_.Load();
  if (!records.ok()) {
    const absl::MutexLock lock(&mutex_);
    look_ = true;
    return;
  }
  std::vector<v1::MigrationRecord> settled;
  std::vector<std::tuple<bool, absl::Time, const v1::MigrationRecord*>> due;
  for (const v1::MigrationRecord& record : *records) {
    if (migrate::IsFinal(record.state())) {
      if (!record.has_network_lock()) settled.push_back(record);
      const absl::MutexLock lock(&mutex_);
      retries_.erase(record.id());
      continue;
    }
    const absl::MutexLock lock(&mutex_);
    look_ = true;
    if (ending_) return;
    const absl::Time time = DueTime(record.id());
    if (time > Clock::Real().Now()) continue;
    due.emplace_back(!IsUrgent(record.state()), time, &record);
  }
  // No node that does not answer keeps the others from their turn.
  std::sort(due.begin(), due.end());
  for (const auto& [later, time, record] : due) StartResuming(*record);
  Unlock(*records);
  Forget(std::move(settled));
}

absl::Time Migrations::DueTime(const std::string& id) const {
  const auto retry = retries_.find(id);
  return retry == retries_.end() ? absl::InfinitePast() : retry->second.first;
}

void Migrations::StartResuming(const v1::MigrationRecord& record) {
  const std::string& id = record.id();
  auto claim = TakeClaim(id, absl::ZeroDuration());
  if (!claim.ok()) return;
  // Refused: there is another look soon.
  (void)workers_.Submit(
      [this, id, claim = *std::move(claim)] { ResumeClaimed(id); },
      record.peer());
}

void Migrations::ResumeClaimed(const std::string& id) {
  auto now = journal_.Find(id);
  if (!now.ok()) return;
  const absl::Status resumed = Resume(*now);
  const absl::MutexLock lock(&mutex_);
  if (resumed.ok()) {
    retries_.erase(id);
  } else {
    absl::Duration& pause = retries_[id].second;
    pause = std::clamp(2 * pause, kFirstPause, kLongestPause);
    retries_[id].first = Clock::Real().Now() + pause;
  }
}

void Migrations::Unlock(const std::vector<v1::MigrationRecord>& records) {
  const bool arriving = std::any_of(
      records.begin(), records.end(), [](const v1::MigrationRecord& record) {
        return !migrate::IsOfSource(record.state()) &&
               !migrate::IsFinal(record.state());
      });
  for (const v1::MigrationRecord& record : records) {
    if (!record.has_network_lock() || !migrate::IsOfSource(record.state()) ||
        !migrate::IsFinal(record.state())) {
      continue;
    }
    const auto claim = TakeClaim(record.id(), absl::ZeroDuration());
    if (!claim.ok()) continue;
    // Its end has us look again.
    auto now = journal_.Find(record.id());
    if (!now.ok()) continue;
    (void)migrate::Source::Unlock(journal_, source_job_, *now,
                                  /*may_be_back=*/!arriving);
  }
}

absl::Status Migrations::Resume(v1::MigrationRecord& record) {
  if (record.state() == v1::MIGRATION_STATE_HELD &&
      destination_job_.IsHeld(record.id())) {
    // The source tells; it is asked when it does not for long.
    const absl::Time since =
        absl::FromUnixNanos(record.steps(record.steps_size() - 1).unix_ns());
    if (absl::Now() < since + kLongestPause) return absl::OkStatus();
  }
  return ResumeNow(record);
}

absl::Status Migrations::ResumeNow(v1::MigrationRecord& record) {
  const std::string id = record.id();
  if (record.state() == v1::MIGRATION_STATE_HELD &&
      !destination_job_.IsHeld(id)) {
    destination_.LostHold(id);
    CKPT_ASSIGN_OR_RETURN(record, journal_.Find(id));
  }
  CKPT_ASSIGN_OR_RETURN(const auto peer, open_peer_(record, nullptr));
  if (!migrate::IsOfSource(record.state())) {
    return destination_.Resume(record, *peer);
  }
  return migrate::Source(journal_, source_job_, *peer).Resume(record);
}

void Migrations::Forget(std::vector<v1::MigrationRecord> settled) {
  if (settled.size() <= kRemembered) return;
  std::sort(
      settled.begin(), settled.end(),
      [](const v1::MigrationRecord& one, const v1::MigrationRecord& other) {
        return one.steps(0).unix_ns() < other.steps(0).unix_ns();
      });
  for (size_t i = 0; i + kRemembered < settled.size(); ++i) {
    (void)journal_.Remove(settled[i].id());
  }
}

absl::StatusOr<v1::MigrateReport> Migrations::Run(v1::MigrationRecord record,
                                                  const Watching& watching) {
  CKPT_ASSIGN_OR_RETURN(const Claim claim,
                        TakeClaim(record.id(), absl::ZeroDuration()));
  // Both outlive the peer, whose threads use them to its end.
  RunLimit limit(watching.cancel, record.request());
  migrate::Progress progress(watching.on_progress);
  CKPT_ASSIGN_OR_RETURN(
      const auto peer,
      open_peer_(record, [&progress](const v1::OperationProgress& transfer) {
        progress.Sent(transfer);
      }));
  const Ticker ticker([&progress] { progress.Tick(); });
  migrate::RunOptions options;
  options.cancel = limit.cancel();
  options.on_state = watching.on_state;
  options.progress = &progress;
  if (record.request().pause_before_switchover()) {
    options.await_switchover = [&, id = record.id()] {
      limit.End();
      return AwaitSwitchover(id, watching);
    };
  }
  auto report =
      migrate::Source(journal_, source_job_, *peer).Run(record, options);
  if (!report.ok()) return limit.Explain(report.status());
  return report;
}

absl::Status Migrations::AwaitSwitchover(const std::string& id,
                                         const Watching& watching) {
  Clock& clock = Clock::Real();
  const absl::Time limit = clock.Now() + watching.pause_limit;
  const auto go = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return paused_[id] || ending_;
  };
  const absl::MutexLock lock(&mutex_);
  paused_[id] = false;
  while (!mutex_.AwaitWithTimeout(absl::Condition(&go), kCancelPoll)) {
    if (watching.cancel != nullptr && watching.cancel->cancelled()) break;
    if (clock.Now() >= limit) {
      paused_.erase(id);
      return absl::DeadlineExceededError(absl::StrCat(
          "nobody has continued it for ",
          absl::FormatDuration(watching.pause_limit), ": the job runs on"));
    }
  }
  const bool continued = paused_[id];
  paused_.erase(id);
  if (continued) return absl::OkStatus();
  return absl::CancelledError("cancelled while it waited to be continued");
}

absl::Status Migrations::Continue(const std::string& id) {
  const absl::MutexLock lock(&mutex_);
  const auto found = paused_.find(id);
  if (found == paused_.end()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "operation ", id,
        " does not wait to be continued: only a migration does that was asked "
        "to pause before the switchover, when the destination holds the job"));
  }
  found->second = true;
  return absl::OkStatus();
}

absl::Status Migrations::Decide(const std::string& id, bool keep) {
  CKPT_ASSIGN_OR_RETURN(const Claim claim, TakeClaim(id, kClaimLimit));
  CKPT_ASSIGN_OR_RETURN(v1::MigrationRecord record, journal_.Find(id));
  if (migrate::IsFinal(record.state())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "migration ", id, " is settled: ", migrate::StateName(record.state())));
  }
  return migrate::IsOfSource(record.state())
             ? DecideAtSource(record, keep)
             : DecideAtDestination(record, keep);
}

absl::Status Migrations::DecideAtSource(v1::MigrationRecord& record,
                                        bool keep) {
  const std::string id = record.id();
  if (keep) {
    return absl::FailedPreconditionError(absl::StrCat(
        "this node is the source of migration ", id,
        ": what has left is not its own any more, and what has not runs here; "
        "only --drop is for it, which gives the destination up"));
  }
  const absl::Status resumed = Resume(record);
  CKPT_ASSIGN_OR_RETURN(record, journal_.Find(id));
  if (resumed.ok() || migrate::IsFinal(record.state())) {
    return absl::FailedPreconditionError(
        absl::StrCat("the destination answers: migration ", id, " is ",
                     migrate::StateName(record.state()), " by what it says"));
  }
  CKPT_ASSIGN_OR_RETURN(const auto peer, open_peer_(record, nullptr));
  // Whatever it says to that: it is there.
  const auto answer = peer->Decision(record);
  if (!absl::IsUnavailable(answer.status()) && !absl::IsNotFound(resumed)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the destination answers, and is told again and again: put right what "
        "it says instead of giving it up: ",
        resumed.message()));
  }
  return migrate::Source(journal_, source_job_, *peer).GiveUpPeer(record);
}

absl::Status Migrations::DecideAtDestination(v1::MigrationRecord& record,
                                             bool keep) {
  // What is decided is told by Destination.
  if (destination_.IsDecided(record)) return destination_.Decide(record, keep);
  const std::string id = record.id();
  if (!destination_job_.IsHeld(id)) destination_.LostHold(id);
  CKPT_ASSIGN_OR_RETURN(record, journal_.Find(id));
  CKPT_ASSIGN_OR_RETURN(const auto peer, open_peer_(record, nullptr));
  const auto decision = peer->Decision(record);
  if (!decision.ok() && !absl::IsUnavailable(decision.status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the source of migration ", id,
        " answers with an error; put that right, and it is asked again: ",
        decision.status().message()));
  }
  if (decision.ok() && *decision != v1::MIGRATION_DECISION_UNKNOWN &&
      *decision != v1::MIGRATION_DECISION_GIVEN_UP &&
      *decision != v1::MIGRATION_DECISION_LOST) {
    (void)destination_.Resume(record, *peer);
    return absl::FailedPreconditionError(
        absl::StrCat("the source answers, and decides: migration ", id, " is ",
                     v1::MigrationDecision_Name(*decision), " there, and ",
                     migrate::StateName(record.state()),
                     " here; ckpt ops continue or cancel there, if it waits"));
  }
  if (decision.ok() && *decision == v1::MIGRATION_DECISION_LOST) {
    // Takes the image in, if it is whole.
    (void)destination_.Resume(record, *peer);
    CKPT_ASSIGN_OR_RETURN(record, journal_.Find(id));
  }
  return destination_.Decide(record, keep);
}

absl::Status Migrations::NoteArrival(const std::string& transfer_id,
                                     const std::string& image,
                                     const std::string& image_id) {
  CKPT_ASSIGN_OR_RETURN(const auto records, journal_.Load());
  for (const v1::MigrationRecord& found : records) {
    if (found.generation() != transfer_id || found.image() != image ||
        migrate::IsOfSource(found.state())) {
      continue;
    }
    CKPT_ASSIGN_OR_RETURN(const Claim claim,
                          TakeClaim(found.id(), kClaimLimit));
    CKPT_ASSIGN_OR_RETURN(v1::MigrationRecord record,
                          journal_.Find(found.id()));
    if (record.state() != v1::MIGRATION_STATE_RESERVED) {
      return absl::FailedPreconditionError(absl::StrCat(
          "migration ", record.id(), " is ", migrate::StateName(record.state()),
          " here: its image is late"));
    }
    record.set_image_id(image_id);
    return journal_.Save(record);
  }
  return absl::OkStatus();
}

absl::Status Migrations::Prepare(const v1::MigrationRecord& record) {
  CKPT_ASSIGN_OR_RETURN(const Claim claim, TakeClaim(record.id(), kClaimLimit));
  return destination_.Prepare(record);
}

absl::Status Migrations::Hold(const std::string& id,
                              const std::string& generation) {
  CKPT_ASSIGN_OR_RETURN(const Claim claim, TakeClaim(id, kClaimLimit));
  return destination_.Hold(id, generation);
}

absl::StatusOr<v1::RestoreReport> Migrations::Release(
    const std::string& id, const std::string& generation) {
  CKPT_ASSIGN_OR_RETURN(const Claim claim, TakeClaim(id, kClaimLimit));
  return destination_.Release(id, generation);
}

absl::Status Migrations::Abort(const v1::MigrationRecord& asked) {
  CKPT_ASSIGN_OR_RETURN(const Claim claim, TakeClaim(asked.id(), kClaimLimit));
  return destination_.Abort(asked);
}

}  // namespace ckpt::agent
