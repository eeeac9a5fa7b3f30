#include "checkpoint/dump.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/last_will.h"
#include "base/proc.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "checkpoint/asker_group.h"
#include "checkpoint/dump_guardian.h"
#include "checkpoint/hand_over.h"
#include "checkpoint/held_group.h"
#include "checkpoint/job.h"
#include "checkpoint/manifest.h"
#include "checkpoint/preflight.h"
#include "checkpoint/written_files.h"
#include "criu/session.h"
#include "criu/work_dir.h"
#include "freezer/freezer.h"
#include "freezer/frozen_scope.h"
#include "freezer/group_lease.h"
#include "store/criu_images.h"

namespace ckpt::checkpoint {
namespace {

// A dump needs some room besides memory pages, whose amount is not known yet.
constexpr uint64_t kLeastSpaceBytes = 1 << 20;

// A task in which a killed CRIU has left its code dies of it within this time
// (docs/life_of_a_dump.md).
constexpr absl::Duration kVictimLimit = absl::Milliseconds(100);

bool IsGone(ProcFs& proc, pid_t pid) {
  const auto stat = proc.Stat(pid);
  return !stat.ok() || stat->state == 'Z' || stat->state == 'X';
}

class DumpOperation : public criu::Notifications {
 public:
  DumpOperation(const v1::DumpRequest& request,
                const DumpEnvironment& environment)
      : request_(request),
        environment_(environment),
        start_(clock_.Now()),
        deadline_(start_ + absl::Seconds(request.timeout_seconds() > 0
                                             ? request.timeout_seconds()
                                             : kDefaultTimeoutSeconds)) {}

  absl::StatusOr<v1::DumpReport> Run();

  absl::Status PreDump() override;
  absl::Status PostDump() override;
  absl::Status Alarm() override { return held_->CheckWrites(); }

 private:
  bool leaves_job() const {
    return request_.leave_running() || request_.leave_frozen();
  }

  void EnterPhase(v1::Phase phase) {
    if (environment_.on_phase != nullptr) environment_.on_phase(phase);
  }
  absl::Status Prepare();
  absl::Status FreezeAndVerify();
  absl::Status ArmGuardian();
  absl::Status HandItOver();
  absl::Status CallCriu();
  absl::Status Commit();
  // Brings job and image to their final states after CRIU's success.
  absl::Status Finish();
  absl::Status CheckJobIsGone();
  // The same after a failure; returns the message's end: the job's state.
  absl::Status GiveBack(absl::Status why);
  absl::Status ExplainLateFailure(const absl::Status& why);
  v1::FreezerState FinalState();
  void FillReport();

  const v1::DumpRequest& request_;
  const DumpEnvironment& environment_;
  ProcFs& proc_ = ProcFs::Real();
  Clock& clock_ = Clock::Real();
  const absl::Time start_;
  const absl::Time deadline_;

  // In the order of their making; undone in reverse.
  Job job_;
  std::vector<pid_t> tree_;          // as frozen
  std::unique_ptr<HeldGroup> held_;  // null with no_freezer
  std::unique_ptr<PendingImage> pending_;
  std::unique_ptr<criu::WorkDir> work_dir_;
  std::unique_ptr<criu::Session> criu_;
  std::unique_ptr<JoinedProcess> asker_;  // if it stands outside the group
  std::unique_ptr<LastWill> guardian_;
  std::unique_ptr<LeavingTree> leaving_;
  v1::Manifest manifest_;
  bool committed_ = false;
  bool left_ = false;  // handed over
  absl::Time criu_started_, frozen_at_;
  absl::Duration our_work_;  // while CRIU waits for us
  v1::DumpReport report_;
};

absl::Status DumpOperation::Prepare() {
  EnterPhase(v1::PHASE_PREFLIGHT);
  const HandOver* const over = environment_.hand_over;
  CKPT_ASSIGN_OR_RETURN(const std::string file, CheckHandOver(request_, over));
  CKPT_ASSIGN_OR_RETURN(job_, FindJob(request_, proc_));
  if (job_.group != nullptr) {
    CKPT_ASSIGN_OR_RETURN(held_, HeldGroup::Take(*job_.group,
                                                 {.root = job_.root,
                                                  .except = request_.self_pid(),
                                                  .subtree = job_.subtree},
                                                 proc_, clock_, file));
    if (request_.self_pid() != 0) {
      CKPT_ASSIGN_OR_RETURN(
          asker_, JoinedProcess::Find(*job_.group, request_.self_pid()));
    }
  } else {
    report_.add_warnings(
        "--no-freezer: tasks were stopped one by one by ptrace; that none "
        "escaped, and that no other task was involved, is not verified");
  }
  CKPT_RETURN_IF_ERROR(Preflight(job_, proc_, request_.criu(), &report_));
  CKPT_ASSIGN_OR_RETURN(pending_, environment_.store->Begin(request_.image()));
  CKPT_RETURN_IF_ERROR(CheckSpace(pending_->dir_fd(), kLeastSpaceBytes));
  if (over != nullptr && over->image_begun != nullptr) {
    over->image_begun(pending_->dir_fd());
  }
  const std::string& path = pending_->final_path();
  CKPT_ASSIGN_OR_RETURN(
      work_dir_,
      criu::WorkDir::Create("dump", path.substr(path.rfind('/') + 1)));
  return absl::OkStatus();
}

absl::Status DumpOperation::ArmGuardian() {
  CKPT_ASSIGN_OR_RETURN(auto guardian,
                        ArmDumpGuardian({.criu = *criu_,
                                         .held = held_.get(),
                                         .asker = asker_.get(),
                                         .over = environment_.hand_over,
                                         .leaving = leaving_.get()}));
  // Only now the former one: there is always one.
  guardian_.swap(guardian);
  return guardian == nullptr ? absl::OkStatus() : guardian->Disarm();
}

absl::Status DumpOperation::FreezeAndVerify() {
  const absl::Time start = clock_.Now();
  if (held_ != nullptr) {
    const absl::Time limit =
        std::min(deadline_, start + absl::Seconds(kFreezeLimitSeconds));
    held_->ExpectWritesOf(criu_->pid());
    CKPT_RETURN_IF_ERROR(
        held_->Freeze({.deadline = limit, .cancel = environment_.cancel}));
    frozen_at_ =
        clock_.Now() - absl::Seconds(held_->scope()->report().seconds());
    CKPT_RETURN_IF_ERROR(FaultPoint("dump.frozen"));
    CKPT_RETURN_IF_ERROR(held_->Verify());
    if (asker_ != nullptr) {
      CKPT_RETURN_IF_ERROR(asker_->Join());
      CKPT_RETURN_IF_ERROR(held_->VerifyWithJoined(
          {.deadline = limit, .cancel = environment_.cancel}));
    }
    CKPT_RETURN_IF_ERROR(
        RecordGroups(held_->census(), proc_, *manifest_.mutable_job()));
    if (!held_->why_unwatched().empty()) {
      report_.add_warnings(absl::StrCat(
          "who else wrote to the group's files was not watched (",
          held_->why_unwatched(), "); only its state and tasks were verified"));
    }
  }
  if (held_ == nullptr) frozen_at_ = start;
  CKPT_ASSIGN_OR_RETURN(tree_, ProcessTree(proc_, job_.root));
  if (environment_.hand_over != nullptr) {  // before anything is written
    CKPT_ASSIGN_OR_RETURN(leaving_, LeavingTree::Open(tree_, proc_));
  }
  return CheckTasks(proc_, tree_, held_ == nullptr ? nullptr : &clock_);
}

absl::Status DumpOperation::PreDump() {
  const absl::Time start = clock_.Now();
  report_.mutable_times()->set_criu_start_seconds(
      absl::ToDoubleSeconds(start - criu_started_));
  EnterPhase(v1::PHASE_FREEZE);
  CKPT_RETURN_IF_ERROR(FaultPoint("dump.before_freeze"));
  CKPT_RETURN_IF_ERROR(ArmGuardian());
  CKPT_RETURN_IF_ERROR(FreezeAndVerify());
  CKPT_RETURN_IF_ERROR(FaultPoint("dump.verified"));
  if (!leaves_job() || environment_.read_ahead) pending_->ReadAhead();
  EnterPhase(v1::PHASE_WRITE);
  our_work_ += clock_.Now() - start;
  return absl::OkStatus();
}

absl::Status DumpOperation::Commit() {
  EnterPhase(v1::PHASE_COMMIT);
  const absl::Time start = clock_.Now();
  manifest_.mutable_job()->set_frozen_seconds(
      absl::ToDoubleSeconds(start - frozen_at_));
  CKPT_ASSIGN_OR_RETURN(manifest_, pending_->Seal(std::move(manifest_)));
  CKPT_RETURN_IF_ERROR(std::move(*pending_).Publish());
  committed_ = true;
  report_.mutable_times()->set_commit_seconds(
      absl::ToDoubleSeconds(clock_.Now() - start));
  return FaultPoint("dump.committed");
}

absl::Status DumpOperation::PostDump() {
  const absl::Time start = clock_.Now();
  CKPT_RETURN_IF_ERROR(FaultPoint("dump.post_dump"));
  CKPT_RETURN_IF_ERROR(CheckComplete(pending_->dir_fd()));
  if (held_ != nullptr) {
    CKPT_ASSIGN_OR_RETURN(const ImageContents contents,
                          ReadContents(pending_->dir_fd()));
    CKPT_RETURN_IF_ERROR(held_->VerifySeized(contents));
  }
  DescribeWrittenFiles(proc_, tree_, *manifest_.mutable_job());
  CKPT_ASSIGN_OR_RETURN(const int timers,
                        FixPeriodicTimerfds(pending_->dir_fd()));
  if (timers > 0) {
    report_.add_warnings(absl::StrCat(
        timers,
        " periodic timerfd(s) with unread expirations, which CRIU "
        "would have restored as disarmed, were repaired in the image"));
  }
  if (environment_.image_written != nullptr) {
    CKPT_RETURN_IF_ERROR(environment_.image_written(*pending_));
  }
  if (environment_.hand_over != nullptr) return HandItOver();
  // A job that ends here must have its image on the disk first.  One that goes
  // on need not wait for the disk.
  if (!leaves_job()) CKPT_RETURN_IF_ERROR(Commit());
  our_work_ += clock_.Now() - start;
  return absl::OkStatus();
}

absl::Status DumpOperation::HandItOver() {
  // For the case that CRIU dies: nobody but us lets the tasks go now.
  CKPT_RETURN_IF_ERROR(held_->FreezeSeized(
      {.deadline = clock_.Now() + absl::Seconds(kFreezeLimitSeconds),
       .cancel = environment_.cancel}));
  CKPT_RETURN_IF_ERROR(leaving_->TakeConnections(tree_, pending_->dir_fd()));
  CKPT_RETURN_IF_ERROR(ArmGuardian());
  EnterPhase(v1::PHASE_COMMIT);
  CKPT_ASSIGN_OR_RETURN(manifest_, pending_->Seal(std::move(manifest_)));
  GivenJob job = leaving_->Given();
  job.image_dir_fd = pending_->dir_fd();
  job.manifest = &manifest_;
  job.frozen_at = frozen_at_;
  job.check_held = [this] { return held_->CheckFrozen(); };
  if (absl::Status given = environment_.hand_over->give(job); !given.ok()) {
    given = leaving_->GoOn(std::move(given));
    // CRIU lets go of tasks that may run then.
    if (!held_->hold().give_back_frozen())
      (void)held_->freezer().WriteRequest(false);
    return given;
  }
  left_ = true;
  leaving_->Kill();
  (void)held_->freezer().WriteRequest(false);
  return absl::OkStatus();
}

absl::Status DumpOperation::CallCriu() {
  criu_started_ = clock_.Now();
  report_.mutable_times()->set_preflight_seconds(
      absl::ToDoubleSeconds(criu_started_ - start_));
  criu::StartOptions start = {.binary = environment_.criu};
  // CRIU leaves the group as it found it, frozen: nobody may take it for
  // abandoned, and give it back, before CRIU has ended.
  if (held_ != nullptr) start.inherited_fds = held_->hold().descriptors();
  CKPT_ASSIGN_OR_RETURN(criu_, criu::Session::Start(start));
  const absl::Time started = clock_.Now();
  CKPT_ASSIGN_OR_RETURN(manifest_, DescribeJob(request_, job_, proc_,
                                               criu_->version().ToString()));
  criu::DumpArguments arguments;
  arguments.pid = job_.root;
  arguments.image_dir_fd = pending_->dir_fd();
  arguments.work_dir_fd = work_dir_->fd();
  arguments.log_file = criu::kLogName;
  if (job_.group != nullptr) arguments.freeze_cgroup = job_.group->path();
  arguments.leave_running = leaves_job();
  arguments.options = request_.criu();
  our_work_ += clock_.Now() - started;
  absl::Status status =
      criu_->Dump(arguments, *this,
                  {.deadline = deadline_,
                   .cancel = environment_.cancel,
                   .alarm_fd = [this] {
                     return held_ == nullptr ? -1 : held_->watch_fd();
                   }});
  report_.mutable_times()->set_criu_seconds(
      absl::ToDoubleSeconds(clock_.Now() - criu_started_ - our_work_));
  return status;
}

absl::Status DumpOperation::CheckJobIsGone() {
  // CRIU has sent SIGKILL to all; they leave in their own time.
  const absl::Time limit =
      left_ ? clock_.Now() + absl::Seconds(kFreezeLimitSeconds) : deadline_;
  for (const pid_t pid : tree_) {
    while (!IsGone(proc_, pid)) {
      if (clock_.Now() > limit) {
        return absl::AbortedError(absl::StrCat(
            "the image ", pending_->final_path(), " is whole, but process ",
            DescribeTask(proc_, pid),
            " of the job has not ended; end it before you restore"));
      }
      clock_.Sleep(absl::Microseconds(200));
    }
  }
  return absl::OkStatus();
}

absl::Status DumpOperation::Finish() {
  if (leaves_job()) {
    if (held_ != nullptr) {
      freezer::FrozenScope& scope = *held_->scope();
      CKPT_RETURN_IF_ERROR(request_.leave_frozen() ? scope.LeaveFrozen()
                                                   : scope.Leave());
      if (asker_ != nullptr) CKPT_RETURN_IF_ERROR(asker_->Return());
    }
    report_.mutable_times()->set_frozen_seconds(
        absl::ToDoubleSeconds(clock_.Now() - frozen_at_));
    CKPT_RETURN_IF_ERROR(guardian_->Disarm());
    if (environment_.job_released != nullptr) environment_.job_released();
    CKPT_RETURN_IF_ERROR(FaultPoint("dump.released"));
    return Commit();
  }
  CKPT_RETURN_IF_ERROR(CheckJobIsGone());
  report_.mutable_times()->set_frozen_seconds(
      absl::ToDoubleSeconds(clock_.Now() - frozen_at_));
  // Whatever the origin was: a frozen empty group would freeze the next
  // restore.
  if (held_ != nullptr) {
    CKPT_RETURN_IF_ERROR(held_->scope()->LeaveThawed());
    freezer::EndLease(*job_.group);
  }
  if (left_ && environment_.hand_over->keep_image) {
    // The job is elsewhere: without its image here it is not less so.
    const absl::Status kept = std::move(*pending_).Publish();
    if (!kept.ok()) report_.add_warnings(std::string(kept.message()));
  }
  return guardian_->Disarm();
}

v1::FreezerState DumpOperation::FinalState() {
  if (held_ == nullptr) return v1::FREEZER_STATE_THAWED;
  const auto status = held_->freezer().GetStatus(/*with_tasks=*/false);
  return status.ok() ? status->state() : v1::FREEZER_STATE_UNSPECIFIED;
}

// CRIU ended after the commit, before it said that all is done.
absl::Status DumpOperation::ExplainLateFailure(const absl::Status& why) {
  const bool gone = IsGone(proc_, job_.root);
  return absl::AbortedError(absl::StrCat(
      why.message(), "; the image ", pending_->final_path(), " is whole, ",
      gone ? "and the job has ended: restore it"
           : "but the job was given back and runs on, so the image is older "
             "than the job: remove it (ckpt remove), or end the job first"));
}

absl::Status DumpOperation::GiveBack(absl::Status why) {
  // CRIU first: what it holds by ptrace does not run, thawed or not.
  const bool criu_was_killed = criu_ != nullptr && criu_->was_killed();
  criu_.reset();
  absl::Status back;
  if (held_ != nullptr && held_->scope() != nullptr) {
    back = held_->scope()->Leave();
  }
  if (asker_ != nullptr) {
    back =
        AppendError(std::move(back), "moving back who asked", asker_->Return());
  }
  if (guardian_ != nullptr) {
    back = AppendError(std::move(back), "guardian", guardian_->Disarm());
  }
  // The state that is told must be the one that lasts.
  const absl::Time limit = clock_.Now() + kVictimLimit;
  while (criu_was_killed && !IsGone(proc_, job_.root) && clock_.Now() < limit) {
    clock_.Sleep(absl::Milliseconds(5));
  }
  if (committed_) {
    why = ExplainLateFailure(why);
  } else if (frozen_at_ != absl::Time() && !left_) {
    const bool frozen = FinalState() == v1::FREEZER_STATE_FROZEN;
    why = WithMessage(
        why, absl::StrCat(why.message(),
                          IsGone(proc_, job_.root) ? "; the job has ended"
                          : frozen ? "; the job is frozen as before"
                                   : "; the job runs on"));
  }
  return AppendError(std::move(why), "giving the job back", back);
}

void DumpOperation::FillReport() {
  report_.set_outcome(request_.leave_frozen()    ? v1::DUMP_OUTCOME_LEFT_FROZEN
                      : request_.leave_running() ? v1::DUMP_OUTCOME_LEFT_RUNNING
                                                 : v1::DUMP_OUTCOME_KILLED);
  report_.set_image(pending_->final_path());
  report_.set_image_id(manifest_.image_id());
  if (held_ != nullptr) *report_.mutable_freeze() = held_->scope()->report();
  for (const v1::ManifestFile& file : manifest_.files()) {
    report_.set_image_bytes(report_.image_bytes() + file.size_bytes());
  }
  if (const auto contents = ReadContents(pending_->dir_fd()); contents.ok()) {
    report_.set_processes(static_cast<int32_t>(contents->processes.size()));
    report_.set_threads(contents->threads);
    report_.set_memory_bytes(contents->memory_bytes);
  }
  report_.set_final_state(FinalState());
  v1::PhaseTimes& times = *report_.mutable_times();
  times.set_freeze_seconds(report_.freeze().seconds());
  times.set_total_seconds(absl::ToDoubleSeconds(clock_.Now() - start_));
}

absl::StatusOr<v1::DumpReport> DumpOperation::Run() {
  CKPT_RETURN_IF_ERROR(Prepare());
  absl::Status status = CallCriu();
  // Of a job that has left, CRIU has nothing to say any more.
  if (status.ok() || left_) {
    if (left_) criu_.reset();
    status = Finish();
  } else if (held_ != nullptr && !committed_) {
    status = held_->ExplainFailure(std::move(status));
  }
  if (!status.ok()) {
    return work_dir_->KeepFor(GiveBack(std::move(status)));
  }
  FillReport();
  return report_;
}

}  // namespace

absl::StatusOr<v1::DumpReport> Dump(const v1::DumpRequest& request,
                                    const DumpEnvironment& environment) {
  return DumpOperation(request, environment).Run();
}

}  // namespace ckpt::checkpoint
