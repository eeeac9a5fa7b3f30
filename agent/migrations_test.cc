// What an operator may decide, and what is only the other node's to say.
#include "agent/migrations.h"

#include <poll.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "agent/grpc_peer.h"
#include "base/status.h"
#include "gtest/gtest.h"
#include "migrate/journal.h"
#include "migrate/places.h"
#include "tests/support/test_dir.h"

namespace ckpt::agent {
namespace {

using migrate::BuiltJob;

// Of the other node: says what it is told to.
struct Answers {
  absl::StatusOr<v1::MigrationDecision> decision =
      absl::UnavailableError("not reached");
  bool hold_hangs = false;
  absl::Status release = absl::UnavailableError("not reached");
  // Asked for its decision, says nothing before it is notified.
  absl::Notification* silence = nullptr;
};

class FakePeer : public migrate::Peer {
 public:
  explicit FakePeer(const Answers& answers) : answers_(answers) {}
  absl::Status Prepare(const v1::MigrationRecord&) override { return {}; }
  void BeginSend(const v1::MigrationRecord&, int,
                 const Cancellation*) override {}
  absl::Status Send(const v1::MigrationRecord&, const Cancellation*) override {
    return {};
  }
  absl::Status Hold(const v1::MigrationRecord&,
                    const Cancellation* cancel) override {
    if (!answers_.hold_hangs) return absl::OkStatus();
    pollfd fd = {cancel->fd(), POLLIN, 0};
    while (::poll(&fd, 1, -1) < 0) {
    }
    return absl::CancelledError("cancelled");
  }
  absl::StatusOr<v1::RestoreReport> Release(
      const v1::MigrationRecord&) override {
    if (!answers_.release.ok()) return answers_.release;
    return v1::RestoreReport();
  }
  absl::Status Abort(const v1::MigrationRecord&) override {
    return answers_.release;
  }
  absl::StatusOr<v1::MigrationDecision> Decision(
      const v1::MigrationRecord& record) override {
    if (record.peer() == "silent") answers_.silence->WaitForNotification();
    return answers_.decision;
  }

 private:
  const Answers& answers_;
};

class FakeSourceJob : public migrate::SourceJob {
 public:
  absl::StatusOr<v1::JobNeeds> Describe(const v1::MigrationRecord&) override {
    return v1::JobNeeds();
  }
  absl::StatusOr<v1::DumpReport> Leave(const v1::MigrationRecord&,
                                       const Steps& steps,
                                       const Cancellation*) override {
    CKPT_RETURN_IF_ERROR(steps.hand_over(migrate::HeldJob()));
    return v1::DumpReport();
  }
  std::string BootId() override { return ""; }
  absl::Status EndTasks(const v1::MigrationRecord&) override { return {}; }
  absl::Status DropImage(const v1::MigrationRecord&) override { return {}; }
  absl::Status Unlock(const v1::MigrationRecord&, Whereabouts) override {
    return {};
  }
};

class FakeDestinationJob : public migrate::DestinationJob {
 public:
  absl::Status Reserve(const v1::MigrationRecord&) override { return {}; }
  absl::StatusOr<std::string> Verify(const v1::MigrationRecord&) override {
    return "image";
  }
  std::string BootId() override { return ""; }
  absl::StatusOr<BuiltJob> Hold(const v1::MigrationRecord&) override {
    held = true;
    return BuiltJob();
  }
  bool IsHeld(const std::string&) override { return held; }
  absl::StatusOr<v1::RestoreReport> Run(const v1::MigrationRecord&,
                                        const Releasing& releasing) override {
    CKPT_RETURN_IF_ERROR(releasing(BuiltJob()));
    ++runs;
    return v1::RestoreReport();
  }
  absl::Status EndBuilt(const v1::MigrationRecord&) override { return {}; }
  absl::StatusOr<Fate> FateOf(const v1::MigrationRecord&) override {
    return fate;
  }
  void DropLog(const v1::MigrationRecord&) override {}
  absl::Status Drop(const v1::MigrationRecord&) override {
    ++drops;
    return {};
  }
  absl::Status DropImage(const v1::MigrationRecord&) override { return {}; }

  // Several workers come here.
  std::atomic<bool> held = false;
  std::atomic<int> runs = 0;
  std::atomic<int> drops = 0;
  Fate fate = Fate::kUnknown;
};

// A journal that can be waited for.
class WatchedJournal : public migrate::Journal {
 public:
  explicit WatchedJournal(const std::string& directory)
      : journal_(*migrate::FileJournal::Open(directory)) {}
  absl::Status Save(const v1::MigrationRecord& record) override {
    const absl::MutexLock lock(&mutex_);
    return journal_->Save(record);
  }
  absl::StatusOr<v1::MigrationRecord> Find(const std::string& id) override {
    return journal_->Find(id);
  }
  absl::StatusOr<std::vector<v1::MigrationRecord>> Load() override {
    return journal_->Load();
  }
  absl::Status Remove(const std::string& id) override {
    return journal_->Remove(id);
  }
  absl::Status Decide(const v1::MigrationRecord& record) override {
    return journal_->Decide(record);
  }
  absl::StatusOr<bool> IsDecided(const v1::MigrationRecord& record) override {
    return journal_->IsDecided(record);
  }
  void Await(const std::string& id, v1::MigrationState state) {
    const auto is_there = [&] { return Find(id)->state() == state; };
    const absl::MutexLock lock(&mutex_, absl::Condition(&is_there));
  }

 private:
  const std::unique_ptr<migrate::FileJournal> journal_;
  absl::Mutex mutex_;  // its release has those who wait look again
};

class MigrationsTest : public testing::Test {
 protected:
  v1::MigrationRecord Record(const std::string& id = "m") {
    v1::MigrationRecord record;
    record.set_format_version(migrate::kRecordVersion);
    record.set_id(id);
    record.set_generation("g");
    record.set_cgroup("/cg/" + id);
    record.set_image("image");
    return record;
  }
  void Put(v1::MigrationState state) {
    v1::MigrationRecord record = Record();
    record.set_state(state);
    ASSERT_EQ(journal_->Save(record), absl::OkStatus());
  }
  v1::MigrationState State() { return journal_->Find("m")->state(); }

  const TestDir dir_;
  const std::unique_ptr<WatchedJournal> journal_ =
      std::make_unique<WatchedJournal>(dir_.File("j"));
  Answers answers_;
  FakeSourceJob source_job_;
  FakeDestinationJob job_;
  Migrations migrations_{
      *journal_, source_job_, job_,
      [this](const v1::MigrationRecord&, const Migrations::OnProgress&)
          -> absl::StatusOr<std::unique_ptr<migrate::Peer>> {
        return std::make_unique<FakePeer>(answers_);
      }};
};

TEST_F(MigrationsTest, SourceThatDecidesLeavesNothingToAnOperator) {
  for (const auto state :
       {v1::MIGRATION_STATE_RECEIVED, v1::MIGRATION_STATE_HELD}) {
    for (const auto said :
         {v1::MIGRATION_DECISION_UNDECIDED, v1::MIGRATION_DECISION_ABORTED}) {
      for (const bool keep : {true, false}) {
        Put(state);
        job_.held = state == v1::MIGRATION_STATE_HELD;
        answers_.decision = said;
        EXPECT_TRUE(absl::IsFailedPrecondition(migrations_.Decide("m", keep)));
        EXPECT_EQ(State() == v1::MIGRATION_STATE_DROPPED,
                  said == v1::MIGRATION_DECISION_ABORTED);
      }
    }
  }
  EXPECT_EQ(job_.runs, 0);
}

TEST_F(MigrationsTest, WhatNobodyElseKnowsAnOperatorDecides) {
  const absl::StatusOr<v1::MigrationDecision> all[] = {
      v1::MIGRATION_DECISION_UNKNOWN, v1::MIGRATION_DECISION_GIVEN_UP,
      v1::MIGRATION_DECISION_LOST, absl::UnavailableError("not reached")};
  int runs = 0;
  for (const auto& said : all) {
    for (const auto state :
         {v1::MIGRATION_STATE_RECEIVED, v1::MIGRATION_STATE_HELD}) {
      answers_.decision = said;
      job_.held = state == v1::MIGRATION_STATE_HELD;
      Put(state);
      EXPECT_EQ(migrations_.Decide("m", /*keep=*/true), absl::OkStatus());
      EXPECT_EQ(State(), v1::MIGRATION_STATE_RUNNING);
      EXPECT_EQ(job_.runs, ++runs);
      Put(state);
      EXPECT_EQ(migrations_.Decide("m", /*keep=*/false), absl::OkStatus());
      EXPECT_EQ(State(), v1::MIGRATION_STATE_DROPPED);
      EXPECT_EQ(job_.drops, runs);
    }
  }
}

TEST_F(MigrationsTest, ErrorOfTheSourceIsNoLeaveToDecide) {
  Put(v1::MIGRATION_STATE_RECEIVED);
  answers_.decision = absl::PermissionDeniedError("no");
  EXPECT_TRUE(absl::IsFailedPrecondition(migrations_.Decide("m", true)));
  EXPECT_EQ(State(), v1::MIGRATION_STATE_RECEIVED);
}

TEST_F(MigrationsTest, WhetherItRanIsForAnOperatorOnlyWhenNothingTells) {
  Put(v1::MIGRATION_STATE_RELEASING);
  EXPECT_EQ(migrations_.Decide("m", /*keep=*/false), absl::OkStatus());
  EXPECT_EQ(State(), v1::MIGRATION_STATE_RUNNING);
  EXPECT_EQ(job_.runs, 0);
  Put(v1::MIGRATION_STATE_RELEASING);
  EXPECT_EQ(migrations_.Decide("m", /*keep=*/true), absl::OkStatus());
  EXPECT_EQ(job_.runs, 1);
  Put(v1::MIGRATION_STATE_RELEASING);
  job_.fate = migrate::DestinationJob::Fate::kRuns;
  EXPECT_TRUE(absl::IsFailedPrecondition(migrations_.Decide("m", true)));
  EXPECT_EQ(job_.runs, 1);
}

TEST_F(MigrationsTest, SourceKeepsNothingByHand) {
  v1::MigrationRecord record = Record();
  ASSERT_EQ(journal_->Decide(record), absl::OkStatus());
  Put(v1::MIGRATION_STATE_GONE);
  EXPECT_TRUE(absl::IsFailedPrecondition(migrations_.Decide("m", true)));
  EXPECT_EQ(State(), v1::MIGRATION_STATE_GONE);
  // It answers, if by an error.
  answers_.decision = absl::FailedPreconditionError("this is no source");
  answers_.release = absl::InternalError("cannot be restored");
  EXPECT_TRUE(absl::IsFailedPrecondition(migrations_.Decide("m", false)));
  EXPECT_EQ(State(), v1::MIGRATION_STATE_GONE);
  answers_ = Answers();
  EXPECT_EQ(migrations_.Decide("m", false), absl::OkStatus());
  EXPECT_EQ(State(), v1::MIGRATION_STATE_CLOSED);
  EXPECT_EQ(*migrations_.Answer(record), v1::MIGRATION_DECISION_GIVEN_UP);
}

TEST_F(MigrationsTest, DestinationDoesNotAnswerForASource) {
  Put(v1::MIGRATION_STATE_HELD);
  EXPECT_TRUE(absl::IsFailedPrecondition(
      migrations_.Answer(*journal_->Find("m")).status()));
}

TEST_F(MigrationsTest, GroupIsReservedForOne) {
  v1::MigrationRecord first = Record("first");
  first.set_cgroup("/cg/job");
  ASSERT_EQ(migrations_.Prepare(first), absl::OkStatus());
  v1::MigrationRecord second = Record("second");
  for (const char* const cgroup : {"/cg/job", "/cg/job/below", "/cg"}) {
    second.set_cgroup(cgroup);
    const absl::Status refused = migrations_.Prepare(second);
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << cgroup;
    EXPECT_NE(refused.message().find("first"), std::string::npos) << refused;
  }
  second.set_cgroup("/cg/job2");
  EXPECT_EQ(migrations_.Prepare(second), absl::OkStatus());
}

TEST_F(MigrationsTest, PlacesOfOneCallerAreBounded) {
  v1::MigrationRecord record;
  for (size_t i = 0; i < migrate::Places::kMaxOfOne; ++i) {
    record = Record(absl::StrCat("m", i));
    record.set_reserved_by("client a");
    ASSERT_EQ(migrations_.Prepare(record), absl::OkStatus());
  }
  v1::MigrationRecord more = Record("more");
  more.set_reserved_by("client a");
  const absl::Status refused = migrations_.Prepare(more);
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_TRUE(absl::StrContains(refused.message(), "ckpt ops decide"));
  EXPECT_TRUE(absl::IsNotFound(journal_->Find("more").status()));
  // One that is there already is asked for again, and others have their own.
  EXPECT_EQ(migrations_.Prepare(record), absl::OkStatus());
  more.set_reserved_by("client b");
  EXPECT_EQ(migrations_.Prepare(more), absl::OkStatus());
  // What has ended does not count.
  ASSERT_EQ(migrations_.Abort(record), absl::OkStatus());
  more = Record("last");
  more.set_reserved_by("client a");
  EXPECT_EQ(migrations_.Prepare(more), absl::OkStatus());
}

TEST_F(MigrationsTest, ImageOfAMigrationThatIsOverIsNotTaken) {
  ASSERT_EQ(migrations_.Prepare(Record()), absl::OkStatus());
  ASSERT_EQ(migrations_.Abort(Record()), absl::OkStatus());
  EXPECT_TRUE(
      absl::IsFailedPrecondition(migrations_.NoteArrival("g", "image", "7")));
  const absl::Status late = migrations_.Hold("m", "g");
  EXPECT_TRUE(absl::IsFailedPrecondition(late));
  EXPECT_TRUE(absl::StrContains(late.message(), "the source keeps the job"))
      << late;
}

TEST_F(MigrationsTest, NodesThatDoNotAnswerDelayNoOther) {
  absl::Notification silence;
  answers_.silence = &silence;
  answers_.decision = v1::MIGRATION_DECISION_ABORTED;
  for (const char* const id : {"1", "2", "3", "4", "5", "6", "7", "8", "9"}) {
    v1::MigrationRecord record = Record(id);
    record.set_state(v1::MIGRATION_STATE_RECEIVED);
    record.set_peer(id == absl::string_view("9") ? "b" : "silent");
    ASSERT_EQ(journal_->Save(record), absl::OkStatus());
  }
  migrations_.Start();
  journal_->Await("9", v1::MIGRATION_STATE_DROPPED);
  for (const char* const id : {"1", "2", "3", "4", "5", "6", "7", "8"}) {
    EXPECT_EQ(journal_->Find(id)->state(), v1::MIGRATION_STATE_RECEIVED);
  }
  silence.Notify();
  for (const char* const id : {"1", "2", "3", "4", "5", "6", "7", "8"}) {
    journal_->Await(id, v1::MIGRATION_STATE_DROPPED);
  }
}

// What a source sends is taken field by field: nothing of it names a log to be
// removed, tasks to be killed, or a format of the future.
TEST_F(MigrationsTest, RecordOfTheSourceIsNotStoredAsItCame) {
  v1::MigrationRecord record = Record();
  record.set_restore_log("/etc/passwd");
  record.set_image_id("somebody else's");
  record.set_building(true);
  record.add_tasks()->set_pid(1);
  ASSERT_EQ(migrations_.Prepare(record), absl::OkStatus());
  const auto kept = journal_->Find("m");
  EXPECT_EQ(kept->restore_log(), "");
  EXPECT_EQ(kept->image_id(), "");
  EXPECT_FALSE(kept->building());
  EXPECT_EQ(kept->tasks_size(), 0);
  record = Record("newer");
  record.set_format_version(migrate::kRecordVersion + 1);
  EXPECT_TRUE(absl::IsFailedPrecondition(migrations_.Prepare(record)));
  EXPECT_TRUE(absl::IsFailedPrecondition(migrations_.Abort(record)));
}

TEST_F(MigrationsTest, ImageIsOfTheTransferThatBroughtIt) {
  ASSERT_EQ(migrations_.Prepare(Record()), absl::OkStatus());
  EXPECT_EQ(migrations_.NoteArrival("another", "image", "7"), absl::OkStatus());
  EXPECT_EQ(journal_->Find("m")->image_id(), "");
  EXPECT_EQ(migrations_.NoteArrival("g", "image", "7"), absl::OkStatus());
  EXPECT_EQ(journal_->Find("m")->image_id(), "7");
}

TEST_F(MigrationsTest, PauseHasALimit) {
  v1::MigrationRecord record = Record();
  record.mutable_request()->set_pause_before_switchover(true);
  Migrations::Watching watching;
  watching.pause_limit = absl::ZeroDuration();
  const auto moved = migrations_.Run(record, watching);
  EXPECT_TRUE(absl::IsDeadlineExceeded(moved.status())) << moved.status();
  EXPECT_EQ(State(), v1::MIGRATION_STATE_ABORTED);
}

// The destination that does not get its job built keeps it standing no longer.
TEST_F(MigrationsTest, OneLimitIsForAllThatComesBeforeTheDecision) {
  v1::MigrationRecord record = Record();
  record.mutable_request()->set_timeout_seconds(0.01);
  answers_.hold_hangs = true;
  const auto moved = migrations_.Run(record, {});
  EXPECT_TRUE(absl::IsDeadlineExceeded(moved.status())) << moved.status();
  EXPECT_EQ(State(), v1::MIGRATION_STATE_ABORTED);
}

TEST(CheckReachableTest, SourceNeedsANameThatTheOtherNodeReaches) {
  EXPECT_EQ(CheckReachable("b:1", "a:1"), absl::OkStatus());
  EXPECT_EQ(CheckReachable("unix:/b", "unix:/a"), absl::OkStatus());
  for (const char* const source : {"unix:/a", "", "0.0.0.0:1", "[::]:1"}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(CheckReachable("b:1", source)));
  }
}

}  // namespace
}  // namespace ckpt::agent
