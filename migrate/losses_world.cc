#include "migrate/losses_world.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/fake_clock.h"
#include "base/status.h"
#include "migrate/destination.h"
#include "migrate/journal.h"
#include "migrate/losses_journal.h"
#include "migrate/seams.h"
#include "migrate/source.h"
#include "migrate/states.h"

namespace ckpt::migrate {

class LossesWorld::Impl {
 public:
  explicit Impl(std::vector<PlannedFault> plan) : plan_(std::move(plan)) {}

  // A migration from its request to whatever ends it.
  void Migrate() {
    v1::MigrationRecord record;
    record.set_format_version(kRecordVersion);
    record.set_id("m");
    record.set_generation("g");
    record.set_cgroup("/cg/job");
    record.set_peer("there");
    record.set_boot_id(BootOf(kSource));
    RunOptions options;
    if (knobs_.pause != nullptr) {
      options.await_switchover = [this] {
        knobs_.pause();
        return absl::OkStatus();
      };
    }
    result_ = source_.Run(record, options).status();
  }

  // Both nodes come back as often as they die, and work on what is left.
  void Settle() {
    for (int round = 0; round < kMaxRounds && !IsSettled(); ++round) {
      Start(kSource);
      Start(kDestination);
      for (v1::MigrationRecord record : disks_[kSource].Records()) {
        (void)source_.Resume(record);
      }
      ForDestination(&Impl::Resume);
      if (round > 0) ForDestination(&Impl::Operate);
    }
    CheckEnd();
  }

  v1::MigrationState state_at(Side side) const {
    const auto& record = disks_[side].record;
    return record.has_value() ? record->state()
                              : v1::MIGRATION_STATE_UNSPECIFIED;
  }
  static constexpr int kMaxRounds = 20;

  static absl::Status Lost() { return absl::UnavailableError("lost"); }

  // False: the node is dead.
  bool Step(Side side) {
    ++step_;
    for (const PlannedFault& planned : plan_) {
      if (planned.step != step_) continue;
      const Fault fault = planned.fault;
      const bool both = fault == Fault::kKillBoth;
      if (both || fault == Fault::kKillSource) Kill(kSource);
      if (both || fault == Fault::kKillDestination) Kill(kDestination);
      if (fault == Fault::kStrikeSource) up_[kSource] = false;
      if (fault == Fault::kStrikeDestination) {
        up_[kDestination] = held_ = false;
      }
      if (fault == Fault::kEndSourceNode) EndNode(kSource);
      if (fault == Fault::kEndDestinationNode) EndNode(kDestination);
      if (fault == Fault::kSilence) BeSilent();
    }
    return up_[side];
  }
  bool Strikes(Fault fault) const {
    for (const PlannedFault& planned : plan_) {
      if (planned.step == step_ && planned.fault == fault) return true;
    }
    return false;
  }

  // One thread at a time works on a migration there.
  absl::Status AtDestination(const std::function<absl::Status()>& work) {
    const bool before = std::exchange(at_work_, true);
    absl::Status status = work();
    at_work_ = before;
    return status;
  }
  using OfDestination = absl::Status (Impl::*)(v1::MigrationRecord&);
  void ForDestination(OfDestination work) {
    for (v1::MigrationRecord record : disks_[kDestination].Records()) {
      (void)AtDestination([&] { return (this->*work)(record); });
    }
  }
  absl::Status Resume(v1::MigrationRecord& record) {
    return destination_.Resume(record, to_source_);
  }
  absl::Status Recover(v1::MigrationRecord& record) {
    return destination_.Recover(record);
  }
  void BeSilent() {
    if (at_work_ || !up_[kDestination]) return;
    knobs_.silent_in = state_at(kDestination);
    silent_ = true;
    ForDestination(&Impl::Resume);  // it begins to wait
    clock_.Sleep(absl::Hours(24));
    ForDestination(&Impl::Resume);
    silent_ = false;
  }

  void Kill(Side side) {
    up_[side] = false;
    if (side == kSource && std::exchange(source_held_, false)) {
      // The guardian.
      SetRuns(kSource, !disks_[kSource].decided);
    }
    if (side == kDestination && std::exchange(held_, false)) built_ = false;
  }
  void EndNode(Side side) {
    up_[side] = false;
    ++boots_[side];
    if (runs_[side]) died_ = true;
    runs_[side] = false;
    if (side == kSource) {
      if (source_held_ && !disks_[kSource].decided) died_ = last_copy_ = true;
      source_held_ = false;
    } else {
      built_ = held_ = false;
      log_ = Log::kNone;
    }
  }
  std::string BootOf(Side side) const {
    return absl::StrCat("boot ", side, " ", boots_[side]);
  }
  void Start(Side side) {
    if (up_[side]) return;
    up_[side] = true;
    if (side == kSource && std::exchange(source_held_, false)) {
      SetRuns(kSource, !disks_[kSource].decided);  // nobody has done so yet
    }
    if (side == kSource) return;
    ForDestination(&Impl::Recover);
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

  absl::Status Operate(v1::MigrationRecord& record) {
    const bool unknown = record.state() == v1::MIGRATION_STATE_RELEASING;
    if (IsFinal(record.state()) ||
        (!unknown && state_at(kSource) != v1::MIGRATION_STATE_LOST)) {
      return absl::OkStatus();
    }
    return destination_.Decide(record, /*keep=*/runs_there_ == 0);
  }

  bool AtEnd(Side side) const {
    return !disks_[side].record.has_value() || IsFinal(state_at(side));
  }
  bool IsSettled() const {
    if (!up_[kSource] || !up_[kDestination]) return false;
    return AtEnd(kSource) && AtEnd(kDestination);
  }
  void CheckEnd() {
    if (!IsSettled()) Complain("it is never settled");
    if (!died_ && runs_[0] == runs_[1]) Complain("not one copy runs");
    if (source_held_ || built_) Complain("something is held for good");
    if (image_) Complain("an image is left");
    if (result_.ok() && runs_there_ == 0) Complain("the answer is wrong");
    if (log_ != Log::kNone) Complain("a log is left");
  }

  LossesJournal JournalOf(Side side) {
    const auto write = [this, side]() -> absl::Status {
      if (Strikes(Fault::kFail)) return absl::InternalError("disk");
      const bool is_full = side == kSource && disks_[kSource].decided &&
                           knobs_.full_after_decision;
      return is_full ? absl::ResourceExhaustedError("disk") : absl::Status();
    };
    const auto read = [this]() -> absl::Status {
      return knobs_.unreadable ? absl::InternalError("EIO") : absl::Status();
    };
    return LossesJournal(disks_[side],
                         {[this, side] { return Step(side); },
                          [this, side] { return up_[side]; }, write, read});
  }

  class FakeSourceJob : public SourceJob {
   public:
    explicit FakeSourceJob(Impl& world) : world_(world) {}
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
    std::string BootId() override { return world_.BootOf(kSource); }
    absl::Status Unlock(const v1::MigrationRecord&, Whereabouts) override {
      return {};
    }
    absl::Status EndTasks(const v1::MigrationRecord&) override {
      if (!world_.Step(kSource)) return Lost();
      world_.SetRuns(kSource, false);
      return world_.Step(kSource) ? absl::OkStatus() : Lost();
    }
    absl::Status DropImage(const v1::MigrationRecord&) override { return {}; }

   private:
    Impl& world_;
  };

  class FakeDestinationJob : public DestinationJob {
   public:
    explicit FakeDestinationJob(Impl& world) : world_(world) {}
    absl::Status Reserve(const v1::MigrationRecord&) override { return Do(); }
    absl::StatusOr<std::string> Verify(const v1::MigrationRecord&) override {
      CKPT_RETURN_IF_ERROR(Do());
      if (!world_.image_) return absl::NotFoundError("image");
      return "id";
    }
    std::string BootId() override { return world_.BootOf(kDestination); }
    absl::StatusOr<BuiltJob> Hold(const v1::MigrationRecord& record) override {
      CKPT_RETURN_IF_ERROR(Build(record));
      if (!world_.Step(kDestination)) return Lost();
      return Built();
    }
    bool IsHeld(const std::string&) override {
      if (world_.knobs_.spoiled) world_.built_ = world_.held_ = false;
      return world_.held_;
    }
    absl::StatusOr<v1::RestoreReport> Run(const v1::MigrationRecord& record,
                                          const Releasing& releasing) override {
      CKPT_RETURN_IF_ERROR(Do());
      if (!world_.image_) world_.Complain("there is nothing to restore");
      if (!world_.held_) CKPT_RETURN_IF_ERROR(Build(record));
      world_.log_ = Log::kHeld;
      absl::Status ready = releasing(Built());
      if (!world_.Step(kDestination)) return Lost();
      world_.built_ = world_.held_ = false;
      if (!ready.ok()) {
        world_.log_ = Log::kNone;
        return ready;
      }
      world_.SetRuns(kDestination, true);
      world_.log_ = Log::kReleased;
      if (!world_.Step(kDestination)) return Lost();
      return v1::RestoreReport();
    }
    absl::Status EndBuilt(const v1::MigrationRecord& record) override {
      CKPT_RETURN_IF_ERROR(Do());
      const bool known = record.boot_id() == BootId() &&
                         (record.building() || record.tasks_size() > 0);
      if (world_.held_ || known) world_.built_ = world_.held_ = false;
      return world_.Step(kDestination) ? absl::OkStatus() : Lost();
    }
    absl::StatusOr<Fate> FateOf(const v1::MigrationRecord& record) override {
      if (!world_.Step(kDestination)) return Lost();
      if (world_.runs_[kDestination]) return Fate::kRuns;
      if (world_.log_ == Log::kReleased) return Fate::kEnded;
      if (world_.log_ == Log::kNone && record.boot_id() != BootId()) {
        return Fate::kUnknown;
      }
      world_.built_ = world_.held_ = false;
      return Fate::kNeverRan;
    }
    void DropLog(const v1::MigrationRecord&) override {
      if (world_.up_[kDestination]) world_.log_ = Log::kNone;
    }
    absl::Status Drop(const v1::MigrationRecord&) override {
      CKPT_RETURN_IF_ERROR(Do());
      if (world_.image_ && world_.last_copy_) {
        world_.Complain("the only copy is removed");
      }
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
    absl::Status Build(const v1::MigrationRecord& record) {
      CKPT_RETURN_IF_ERROR(Do());
      if (world_.knobs_.spoiled) return absl::DataLossError("no memory");
      if (world_.built_) return absl::FailedPreconditionError("not empty");
      if (!record.building()) world_.Complain("nobody knows what is built");
      world_.built_ = world_.held_ = true;
      return absl::OkStatus();
    }
    static BuiltJob Built() {
      BuiltJob built;
      built.log = "log";
      built.tasks.emplace_back().set_pid(7);
      return built;
    }
    Impl& world_;
  };

  class FakePeer : public Peer {
   public:
    FakePeer(Impl& world, Side from, Side to)
        : world_(world), from_(from), to_(to) {}
    absl::Status Prepare(const v1::MigrationRecord& record) override {
      return Call([&] { return world_.destination_.Prepare(record); });
    }
    void BeginSend(const v1::MigrationRecord&, int,
                   const Cancellation*) override {}
    absl::Status Send(const v1::MigrationRecord&,
                      const Cancellation*) override {
      return Call([&]() -> absl::Status {
        auto& there = world_.disks_[kDestination].record;
        if (there.has_value()) {
          if (there->state() != v1::MIGRATION_STATE_RESERVED) {
            return absl::FailedPreconditionError("late");
          }
          there->set_image_id("id");
        }
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
      CKPT_RETURN_IF_ERROR(Call([&] {
        return world_.destination_.Release(record.id(), record.generation())
            .status();
      }));
      return v1::RestoreReport();
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
      if (world_.Strikes(Fault::kLose) || !CanCall()) return Lost();
      const absl::Status status =
          to_ == kDestination ? world_.AtDestination(work) : work();
      if (!world_.Step(from_)) return Lost();
      return world_.Strikes(Fault::kLose) || !world_.up_[to_] ? Lost() : status;
    }
    bool CanCall() const { return world_.up_[to_] && !world_.silent_; }
    Impl& world_;
    const Side from_, to_;
  };

  const std::vector<PlannedFault> plan_;
  int step_ = 0;
  bool up_[2] = {true, true};
  LossesDisk disks_[2];
  bool runs_[2] = {true, false};
  int runs_there_ = 0;
  bool source_held_ = false;
  bool built_ = false;  // nothing of it has run
  bool held_ = false;   // and the agent has it
  enum class Log { kNone, kHeld, kReleased } log_ = Log::kNone;
  int boots_[2] = {0, 0};
  bool died_ = false;       // with the kernel that it ran on
  bool last_copy_ = false;  // the image is what is left of it
  bool image_ = false;
  bool at_work_ = false;  // the destination
  bool silent_ = false;   // nothing comes from the source
  FakeClock clock_;
  Knobs knobs_;
  std::string problem_;
  absl::Status result_;

  LossesJournal journals_[2] = {JournalOf(kSource), JournalOf(kDestination)};
  FakeSourceJob source_job_{*this};
  FakeDestinationJob destination_job_{*this};
  FakePeer to_destination_{*this, kSource, kDestination};
  FakePeer to_source_{*this, kDestination, kSource};
  Source source_{journals_[kSource], source_job_, to_destination_};
  Destination destination_{journals_[kDestination], destination_job_, clock_};
};

LossesWorld::LossesWorld(const std::vector<PlannedFault>& plan)
    : impl_(std::make_unique<Impl>(plan)) {}
LossesWorld::~LossesWorld() = default;

LossesWorld::Knobs& LossesWorld::knobs() { return impl_->knobs_; }
void LossesWorld::Migrate() { impl_->Migrate(); }
void LossesWorld::Settle() { impl_->Settle(); }
const std::string& LossesWorld::problem() const { return impl_->problem_; }
const absl::Status& LossesWorld::result() const { return impl_->result_; }
int LossesWorld::steps() const { return impl_->step_; }
bool LossesWorld::runs_at(Side side) const { return impl_->runs_[side]; }
v1::MigrationState LossesWorld::state_at(Side side) const {
  return impl_->state_at(side);
}

}  // namespace ckpt::migrate
