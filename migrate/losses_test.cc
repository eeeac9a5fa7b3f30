// Every loss at every step of a migration, alone and in pairs: one copy of the
// job runs in the end, never two do, and none runs that is older than another
// that ran.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "gtest/gtest.h"
#include "migrate/destination.h"
#include "migrate/journal.h"
#include "migrate/seams.h"
#include "migrate/source.h"
#include "migrate/states.h"

namespace ckpt::migrate {
namespace {

// Two nodes, a job and the wires between them, all of them fakes with state,
// in which anything may be lost at any step.
//
//   World world({.fault = Fault::kKillSource, .step = 17});
//   world.Migrate();
//   world.Settle();
//   EXPECT_EQ(world.problem(), "");
//
// A step is the moment before or after anything that a node does: writes to its
// journal, works on the job, sends or gets a message.  A node that was killed
// does nothing any more: all calls fail and change nothing, until Settle()
// starts it again.
enum class Fault { kKillSource, kKillDestination, kKillBoth, kLose, kFail };

struct PlannedFault {
  Fault fault;
  int step;
};

class World {
 public:
  enum Side { kSource, kDestination };

  explicit World(std::vector<PlannedFault> plan) : plan_(std::move(plan)) {}

  // A migration from its request to whatever ends it.
  void Migrate() {
    v1::MigrationRecord record;
    record.set_format_version(kRecordVersion);
    record.set_id("m");
    record.set_generation("g");
    record.set_cgroup("/cg/job");
    record.set_peer("there");
    result_ = source_.Run(record).status();
  }

  // Both nodes come back as often as they die, and work on what is left.
  void Settle() {
    for (int round = 0; round < kMaxRounds && !IsSettled(); ++round) {
      Start(kSource);
      Start(kDestination);
      for (v1::MigrationRecord record : disks_[kSource].Records()) {
        (void)source_.Resume(record);
      }
      for (v1::MigrationRecord record : disks_[kDestination].Records()) {
        (void)destination_.Resume(record, to_source_);
      }
    }
    CheckEnd();
  }

  // "", or the first thing that must not be.
  const std::string& problem() const { return problem_; }
  const absl::Status& result() const { return result_; }
  int steps() const { return step_; }
  bool runs_at(Side side) const { return runs_[side]; }

 private:
  static constexpr int kMaxRounds = 20;

  static absl::Status Lost() { return absl::UnavailableError("lost"); }

  // False: the node is dead.
  bool Step(Side side) {
    ++step_;
    for (const PlannedFault& planned : plan_) {
      if (planned.step != step_) continue;
      if (planned.fault == Fault::kKillSource) Kill(kSource);
      if (planned.fault == Fault::kKillDestination) Kill(kDestination);
      if (planned.fault == Fault::kKillBoth) {
        Kill(kSource);
        Kill(kDestination);
      }
    }
    return up_[side];
  }
  bool Strikes(Fault fault) const {
    for (const PlannedFault& planned : plan_) {
      if (planned.step == step_ && planned.fault == fault) return true;
    }
    return false;
  }

  void Kill(Side side) {
    up_[side] = false;
    if (side == kSource && source_held_) {
      // The guardian.
      source_held_ = false;
      SetRuns(kSource, !disks_[kSource].decided);
    }
    if (side == kDestination) built_ = false;
  }
  void Start(Side side) {
    if (up_[side]) return;
    up_[side] = true;
    if (side == kSource) return;
    for (v1::MigrationRecord record : disks_[side].Records()) {
      (void)destination_.Recover(record);
    }
  }

  void SetRuns(Side side, bool runs) {
    runs_[side] = runs;
    if (runs_[kSource] && runs_[kDestination]) Complain("two copies run");
    if (side == kDestination && runs) ++runs_there_;
    if (runs_there_ > 1) Complain("it was started twice there");
    if (side == kSource && runs && runs_there_ > 0) {
      Complain("it runs at the source after it ran at the destination");
    }
  }
  void Complain(const std::string& what) {
    if (problem_.empty()) problem_ = what;
  }

  bool IsSettled() const {
    if (!up_[kSource] || !up_[kDestination]) return false;
    for (const Side side : {kSource, kDestination}) {
      for (const auto& [id, record] : disks_[side].records) {
        if (!IsFinal(record.state())) return false;
      }
    }
    return true;
  }
  void CheckEnd() {
    if (!IsSettled()) Complain("it is never settled");
    if (runs_[kSource] == runs_[kDestination]) Complain("not one copy runs");
    if (source_held_ || built_) Complain("something is held for good");
    if (image_) Complain("an image is left");
    if (result_.ok() && !runs_[kDestination]) Complain("the answer is wrong");
  }

  // What a node has on its disk.
  struct Disk {
    std::map<std::string, v1::MigrationRecord> records;
    bool decided = false;
    std::vector<v1::MigrationRecord> Records() const {
      std::vector<v1::MigrationRecord> all;
      for (const auto& [id, record] : records) all.push_back(record);
      return all;
    }
  };

  class FakeJournal : public Journal {
   public:
    FakeJournal(World& world, Side side) : world_(world), side_(side) {}
    absl::Status Save(const v1::MigrationRecord& record) override {
      if (!world_.Step(side_)) return Lost();
      if (world_.Strikes(Fault::kFail)) return absl::InternalError("disk");
      disk().records[record.id()] = record;
      return world_.Step(side_) ? absl::OkStatus() : Lost();
    }
    absl::StatusOr<v1::MigrationRecord> Find(const std::string& id) override {
      if (!world_.up_[side_]) return Lost();
      const auto found = disk().records.find(id);
      if (found != disk().records.end()) return found->second;
      return absl::NotFoundError(id);
    }
    absl::StatusOr<std::vector<v1::MigrationRecord>> Load() override {
      return disk().Records();
    }
    absl::Status Remove(const std::string& id) override {
      disk().records.erase(id);
      return absl::OkStatus();
    }
    absl::Status Decide(const v1::MigrationRecord&) override {
      if (!world_.Step(side_)) return Lost();
      if (world_.Strikes(Fault::kFail)) return absl::InternalError("disk");
      disk().decided = true;
      return world_.Step(side_) ? absl::OkStatus() : Lost();
    }
    absl::StatusOr<bool> IsDecided(const v1::MigrationRecord&) override {
      if (!world_.up_[side_]) return Lost();
      return disk().decided;
    }

   private:
    Disk& disk() { return world_.disks_[side_]; }
    World& world_;
    const Side side_;
  };

  class FakeSourceJob : public SourceJob {
   public:
    explicit FakeSourceJob(World& world) : world_(world) {}
    absl::StatusOr<v1::JobNeeds> Describe(const v1::MigrationRecord&) override {
      return v1::JobNeeds();
    }
    absl::StatusOr<v1::DumpReport> Leave(const v1::MigrationRecord&,
                                         const Steps& steps,
                                         const Cancellation*) override {
      if (!world_.Step(kSource)) return Lost();
      if (world_.Strikes(Fault::kFail)) return absl::InternalError("dump");
      world_.SetRuns(kSource, false);
      world_.source_held_ = true;
      if (!world_.Step(kSource)) return Lost();
      const absl::Status handed = steps.hand_over(HeldJob());
      if (!world_.up_[kSource]) return Lost();  // the guardian has acted
      world_.source_held_ = false;
      if (!handed.ok()) {
        world_.SetRuns(kSource, true);
        return handed;
      }
      if (!world_.Step(kSource)) return Lost();
      return v1::DumpReport();
    }
    absl::Status EndTasks(const v1::MigrationRecord&) override {
      if (!world_.Step(kSource)) return Lost();
      world_.SetRuns(kSource, false);
      return world_.Step(kSource) ? absl::OkStatus() : Lost();
    }
    absl::Status DropImage(const v1::MigrationRecord&) override {
      return absl::OkStatus();
    }
    absl::Status Unlock(const v1::MigrationRecord&, Whereabouts) override {
      return absl::OkStatus();
    }

   private:
    World& world_;
  };

  class FakeDestinationJob : public DestinationJob {
   public:
    explicit FakeDestinationJob(World& world) : world_(world) {}
    absl::Status Reserve(const v1::MigrationRecord&) override { return Do(); }
    absl::StatusOr<std::string> Verify(const v1::MigrationRecord&) override {
      CKPT_RETURN_IF_ERROR(Do());
      if (!world_.image_) return absl::NotFoundError("image");
      return "id";
    }
    absl::Status Hold(const v1::MigrationRecord&) override {
      CKPT_RETURN_IF_ERROR(Do());
      world_.built_ = true;
      return world_.Step(kDestination) ? absl::OkStatus() : Lost();
    }
    absl::StatusOr<v1::RestoreReport> Run(const v1::MigrationRecord&,
                                          const Releasing& releasing) override {
      CKPT_RETURN_IF_ERROR(Do());
      if (!world_.image_) world_.Complain("there is nothing to restore");
      world_.built_ = true;
      const absl::Status ready = releasing("log");
      if (!world_.Step(kDestination)) return Lost();
      world_.built_ = false;
      CKPT_RETURN_IF_ERROR(ready);
      world_.SetRuns(kDestination, true);
      if (!world_.Step(kDestination)) return Lost();
      return v1::RestoreReport();
    }
    absl::StatusOr<Fate> FateOf(const v1::MigrationRecord&) override {
      if (!world_.Step(kDestination)) return Lost();
      return world_.runs_[kDestination] ? Fate::kRuns : Fate::kNeverRan;
    }
    absl::Status Drop(const v1::MigrationRecord&) override {
      CKPT_RETURN_IF_ERROR(Do());
      world_.built_ = false;
      world_.image_ = false;
      return world_.Step(kDestination) ? absl::OkStatus() : Lost();
    }
    absl::Status DropImage(const v1::MigrationRecord&) override {
      if (!world_.Step(kDestination)) return Lost();
      world_.image_ = false;
      return world_.Step(kDestination) ? absl::OkStatus() : Lost();
    }

   private:
    absl::Status Do() {
      if (!world_.Step(kDestination)) return Lost();
      return world_.Strikes(Fault::kFail) ? absl::InternalError("failed")
                                          : absl::OkStatus();
    }
    World& world_;
  };

  class FakePeer : public Peer {
   public:
    FakePeer(World& world, Side from, Side to)
        : world_(world), from_(from), to_(to) {}
    absl::Status Prepare(const v1::MigrationRecord& record) override {
      return Call([&] { return world_.destination_.Prepare(record); });
    }
    void BeginSend(const v1::MigrationRecord&, int,
                   const Cancellation*) override {}
    absl::Status Send(const v1::MigrationRecord&, const HeldJob&,
                      const Cancellation*) override {
      return Call([&] {
        world_.image_ = true;
        return absl::OkStatus();
      });
    }
    absl::Status Hold(const v1::MigrationRecord& record,
                      const Cancellation*) override {
      return Call([&] {
        return world_.destination_.Hold(record.id(), record.generation());
      });
    }
    absl::StatusOr<v1::RestoreReport> Release(
        const v1::MigrationRecord& record) override {
      v1::RestoreReport report;
      CKPT_RETURN_IF_ERROR(Call([&] {
        return world_.destination_.Release(record.id(), record.generation())
            .status();
      }));
      return report;
    }
    absl::Status Abort(const v1::MigrationRecord& record) override {
      return Call([&] { return world_.destination_.Abort(record); });
    }
    absl::StatusOr<v1::MigrationDecision> Decision(
        const v1::MigrationRecord& record) override {
      v1::MigrationDecision decision = v1::MIGRATION_DECISION_UNSPECIFIED;
      CKPT_RETURN_IF_ERROR(Call([&] {
        const auto answer = Source::Answer(world_.journals_[kSource], record);
        if (answer.ok()) decision = *answer;
        return answer.status();
      }));
      return decision;
    }

   private:
    template <typename Work>
    absl::Status Call(const Work& work) {
      if (!world_.Step(from_)) return Lost();
      if (world_.Strikes(Fault::kLose) || !world_.up_[to_]) return Lost();
      const absl::Status status = work();
      if (!world_.Step(from_)) return Lost();
      if (world_.Strikes(Fault::kLose) || !world_.up_[to_]) return Lost();
      return status;
    }
    World& world_;
    const Side from_, to_;
  };

  const std::vector<PlannedFault> plan_;
  int step_ = 0;
  bool up_[2] = {true, true};
  Disk disks_[2];
  bool runs_[2] = {true, false};
  int runs_there_ = 0;
  bool source_held_ = false;
  bool built_ = false;
  bool image_ = false;
  std::string problem_;
  absl::Status result_;

  FakeJournal journals_[2] = {{*this, kSource}, {*this, kDestination}};
  FakeSourceJob source_job_{*this};
  FakeDestinationJob destination_job_{*this};
  FakePeer to_destination_{*this, kSource, kDestination};
  FakePeer to_source_{*this, kDestination, kSource};
  Source source_{journals_[kSource], source_job_, to_destination_};
  Destination destination_{journals_[kDestination], destination_job_};
};

constexpr Fault kFaults[] = {Fault::kKillSource, Fault::kKillDestination,
                             Fault::kKillBoth, Fault::kLose, Fault::kFail};
// No migration that is hit twice has more steps.
constexpr int kLastStep = 90;

std::string Describe(const std::vector<PlannedFault>& plan) {
  std::string text;
  for (const PlannedFault& planned : plan) {
    absl::StrAppend(&text, "fault ", static_cast<int>(planned.fault),
                    " at step ", planned.step, "; ");
  }
  return text;
}

// What became of it.
std::string Try(const std::vector<PlannedFault>& plan, int& steps) {
  World world(plan);
  world.Migrate();
  world.Settle();
  steps = world.steps();
  return world.problem();
}

TEST(LossesTest, NothingLostMovesTheJob) {
  World world({});
  world.Migrate();
  EXPECT_EQ(world.result(), absl::OkStatus());
  world.Settle();
  EXPECT_EQ(world.problem(), "");
  EXPECT_TRUE(world.runs_at(World::kDestination));
}

TEST(LossesTest, OneLossAtAnyStepLeavesOneCopy) {
  for (int step = 1; step <= kLastStep; ++step) {
    for (const Fault fault : kFaults) {
      const std::vector<PlannedFault> plan = {{fault, step}};
      int steps = 0;
      ASSERT_EQ(Try(plan, steps), "") << Describe(plan);
      ASSERT_LE(steps, kLastStep) << Describe(plan);
    }
  }
}

TEST(LossesTest, TwoLossesAtAnyStepsLeaveOneCopy) {
  for (int first = 1; first <= kLastStep; ++first) {
    for (const Fault fault : kFaults) {
      for (int second = first + 1; second <= kLastStep; ++second) {
        for (const Fault other : kFaults) {
          const std::vector<PlannedFault> plan = {{fault, first},
                                                  {other, second}};
          int steps = 0;
          ASSERT_EQ(Try(plan, steps), "") << Describe(plan);
          if (steps < second) break;  // it was over before
        }
      }
    }
  }
}

TEST(LossesTest, LossBeforeTheDecisionGivesTheJobBackAtOnce) {
  // The request that asks the destination to hold the job is lost.
  for (int step = 1; step <= kLastStep; ++step) {
    World world({{Fault::kLose, step}});
    world.Migrate();
    if (world.result().ok()) continue;
    const bool decided =
        absl::StrContains(world.result().message(), "has left");
    EXPECT_NE(world.runs_at(World::kSource), decided) << step;
  }
}

}  // namespace
}  // namespace ckpt::migrate
