#include "restore/restore.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/last_will.h"
#include "base/proc.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "criu/log.h"
#include "criu/session.h"
#include "criu/work_dir.h"
#include "freezer/cgroup.h"
#include "freezer/freezer.h"
#include "freezer/group_hold.h"
#include "freezer/kill.h"
#include "freezer/lookup.h"
#include "restore/merged_options.h"
#include "restore/preflight.h"
#include "restore/task_groups.h"
#include "restore/written_files.h"
#include "store/criu_images.h"

namespace ckpt::restore {
namespace {

// How long ended tasks may take to be reaped by their parent.
constexpr absl::Duration kReapLimit = absl::Seconds(5);
constexpr absl::Duration kKillLimit = absl::Seconds(5);
// From the word that lets the tasks go to CRIU's end.
constexpr absl::Duration kReleaseLimit = absl::Seconds(60);
constexpr absl::Duration kFreezeLimit = absl::Seconds(10);
// What the guardian grants CRIU to undo things by itself.
constexpr absl::Duration kGuardianPatience = absl::Milliseconds(1000);

class RestoreOperation : public criu::Notifications {
 public:
  RestoreOperation(const v1::RestoreRequest& request,
                   const RestoreEnvironment& environment)
      : request_(request),
        environment_(environment),
        start_(clock_.Now()),
        deadline_(start_ + absl::Seconds(request.timeout_seconds() > 0
                                             ? request.timeout_seconds()
                                             : kDefaultTimeoutSeconds)) {}

  absl::StatusOr<v1::RestoreReport> Run();

  absl::Status PostRestore(pid_t root) override;
  absl::Status PreResume() override;

 private:
  void EnterPhase(v1::Phase phase) {
    if (environment_.on_phase != nullptr) environment_.on_phase(phase);
  }
  absl::Status OpenImage();
  // Of pipes that led out of the job and that nobody gives back to it.
  void WarnOfPipes();
  absl::Status PrepareGroup();
  absl::Status CutFiles();
  // Where CRIU builds the tasks: the group, or, if none of them belongs into
  // it, one below, as a v2 group may not hold processes itself.
  freezer::Cgroup& Birthplace();
  absl::Status ArmGuardian();
  absl::Status CallCriu();
  absl::Status CountTasks(pid_t root);
  absl::Status AwaitRelease();
  // CRIU and its helpers leave the group to the job.
  absl::Status MoveOthersOut(const std::vector<pid_t>& tree);
  absl::Status WritePidfile();
  bool WasLetGo();  // every task; ends CRIU
  absl::Status Finish();
  absl::Status Undo(absl::Status why);

  const v1::RestoreRequest& request_;
  const RestoreEnvironment& environment_;
  ProcFs& proc_ = ProcFs::Real();
  Clock& clock_ = Clock::Real();
  const absl::Time start_;
  const absl::Time deadline_;

  absl::optional<Image> image_;
  ImageContents contents_;
  std::string root_directory_;  // of the job's files; "": as everybody's
  std::vector<v1::CutFile> cuts_;
  std::vector<std::string> made_groups_;  // group_ and above, from above
  std::unique_ptr<freezer::Cgroup> group_;
  std::unique_ptr<freezer::GroupHold> hold_;
  std::unique_ptr<TaskGroups> task_groups_;  // below group_
  std::unique_ptr<criu::WorkDir> work_dir_;
  std::unique_ptr<criu::Session> criu_;
  std::unique_ptr<LastWill> guardian_;
  bool released_ = false;
  criu::Limits limits_;
  absl::Status freeze_status_;
  pid_t root_ = 0;
  v1::RestoreReport report_;
};

absl::Status RestoreOperation::OpenImage() {
  EnterPhase(v1::PHASE_VERIFY);
  auto image = environment_.store->Open(request_.image());
  CKPT_RETURN_IF_ERROR(image.status());
  image_.emplace(*std::move(image));
  CKPT_RETURN_IF_ERROR(image_->Verify(environment_.cancel));
  report_.mutable_times()->set_verify_seconds(
      absl::ToDoubleSeconds(clock_.Now() - start_));
  report_.set_image(image_->path());
  report_.set_image_id(image_->manifest().image_id());
  CKPT_ASSIGN_OR_RETURN(contents_, ReadContents(image_->dir_fd()));
  WarnOfPipes();
  CKPT_RETURN_IF_ERROR(CheckHost(image_->manifest()));
  root_directory_ = request_.criu().root().empty()
                        ? image_->manifest().options().root()
                        : request_.criu().root();
  CKPT_ASSIGN_OR_RETURN(cuts_,
                        PlanOutput(image_->manifest().job(), root_directory_,
                                   request_.output_policy()));
  CKPT_RETURN_IF_ERROR(CheckFiles(contents_, root_directory_, cuts_));
  return WaitForPids(contents_, proc_, clock_,
                     std::min(deadline_, clock_.Now() + kReapLimit),
                     environment_.cancel);
}

void RestoreOperation::WarnOfPipes() {
  for (const std::string& external : image_->manifest().options().external()) {
    if (!absl::StartsWith(external, "pipe:")) continue;
    const auto& given = request_.criu().inherit_fds();
    const bool is_given = std::any_of(
        given.begin(), given.end(),
        [&](const v1::InheritFd& fd) { return fd.key() == external; });
    if (is_given) continue;
    report_.add_warnings(
        absl::StrCat(external,
                     " led out of the job, and nobody is at its other end now: "
                     "give the job another one with --inherit-fd fd[N]:",
                     external));
  }
}

absl::Status RestoreOperation::PrepareGroup() {
  const v1::ManifestJob& job = image_->manifest().job();
  std::string name = request_.cgroup();
  v1::Hierarchy hierarchy = request_.hierarchy();
  if (name.empty()) {
    // A restore always has a group of its own: what a failure leaves behind can
    // then be found and killed.
    const std::string& path = image_->path();
    name = job.cgroup().empty()
               ? absl::StrCat("ckpt-", path.substr(path.rfind('/') + 1))
               : job.cgroup();
    if (hierarchy == v1::HIERARCHY_UNSPECIFIED) {
      hierarchy = static_cast<v1::Hierarchy>(job.hierarchy());
    }
  }
  CKPT_ASSIGN_OR_RETURN(
      group_, freezer::FindOrCreateCgroup(name, hierarchy, made_groups_));
  if (group_->is_root()) {
    return absl::FailedPreconditionError(
        absl::StrCat("cgroup ", group_->path(),
                     " is the root of its hierarchy; name another with "
                     "--cgroup; nothing was started"));
  }
  CKPT_ASSIGN_OR_RETURN(
      hold_,
      freezer::GroupHold::Take(*group_, {.purpose = v1::HOLD_PURPOSE_RESTORE}));
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> pids,
                        group_->SubtreeProcesses());
  if (!pids.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cgroup ", group_->path(), " is not empty: it holds process ",
        DescribeTask(proc_, pids.front()),
        pids.size() > 1 ? absl::StrCat(" and ", pids.size() - 1, " more") : "",
        "; a job is restored into a group of its own: end those, or name "
        "another group with --cgroup; nothing was started"));
  }
  freezer::Freezer freezer(*group_, proc_, clock_);
  CKPT_ASSIGN_OR_RETURN(const v1::CgroupStatus status,
                        freezer.GetStatus(/*with_tasks=*/false));
  if (status.state() != v1::FREEZER_STATE_THAWED &&
      (status.self_freezing() || !status.frozen_ancestor().empty())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cgroup ",
        status.self_freezing() ? group_->path() : status.frozen_ancestor(),
        " is frozen, and CRIU would freeze in it; thaw it, or name another "
        "group with --cgroup; nothing was started"));
  }
  CKPT_ASSIGN_OR_RETURN(task_groups_, TaskGroups::Make(*group_, job));
  return absl::OkStatus();
}

absl::Status RestoreOperation::CutFiles() {
  CKPT_RETURN_IF_ERROR(CutBack(root_directory_, cuts_));
  *report_.mutable_cut_files() = {cuts_.begin(), cuts_.end()};
  return absl::OkStatus();
}

freezer::Cgroup& RestoreOperation::Birthplace() {
  const auto live =
      std::count_if(contents_.processes.begin(), contents_.processes.end(),
                    [](const ImageProcess& process) {
                      return process.state != ImageTaskState::kZombie;
                    });
  const bool all_below = live > 0 && task_groups_->processes() == live;
  return all_below ? *task_groups_->groups().front() : *group_;
}

absl::Status RestoreOperation::ArmGuardian() {
  // Without us CRIU undoes its work at its next notification; the rest is for
  // the case that it does not.
  CKPT_ASSIGN_OR_RETURN(const UniqueFd procs, group_->OpenProcsForRead());
  guardian_ = std::make_unique<LastWill>();
  guardian_->AddWaitExit(criu_->pidfd(), kGuardianPatience);
  guardian_->AddKill(criu_->pidfd());
  guardian_->AddKillProcessGroup(criu_->pid());  // its helpers
  guardian_->AddKillListed(procs.get(), kKillLimit);
  std::vector<UniqueFd> below;
  for (const auto& group : task_groups_->groups()) {
    CKPT_ASSIGN_OR_RETURN(below.emplace_back(), group->OpenProcsForRead());
    guardian_->AddKillListed(below.back().get(), kKillLimit);
  }
  hold_->Protect(*guardian_);
  return guardian_->Arm();
}

absl::Status RestoreOperation::CountTasks(pid_t root) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> tree,
                        ProcessTree(proc_, root));
  if (tree.size() != contents_.processes.size()) {
    return absl::DataLossError(
        absl::StrCat("CRIU restored ", tree.size(), " process(es) of ",
                     contents_.processes.size(), " in the image"));
  }
  if (criu::ShowsLostMemory(criu_->ReadLog())) {
    return absl::DataLossError(
        "CRIU restored zeroes for shared memory that it could not read");
  }
  return MoveOthersOut(tree);
}

absl::Status RestoreOperation::MoveOthersOut(const std::vector<pid_t>& tree) {
  freezer::Cgroup& group = Birthplace();
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> members, group.Processes());
  CKPT_ASSIGN_OR_RETURN(const auto ours,
                        freezer::CgroupOf(::getpid(), group_->hierarchy()));
  for (const pid_t pid : members) {
    if (std::find(tree.begin(), tree.end(), pid) != tree.end()) continue;
    absl::Status moved = ours->AddProcess(pid);
    if (!moved.ok() && !absl::IsNotFound(moved)) return moved;
  }
  for (const pid_t pid : tree) {
    if (std::find(members.begin(), members.end(), pid) != members.end()) {
      continue;
    }
    const auto stat = proc_.Stat(pid);
    if (stat.ok() && stat->state == 'Z') continue;
    return absl::InternalError(absl::StrCat(
        "restored process ", pid, " is not in cgroup ", group.path()));
  }
  return task_groups_->Place(tree, proc_);
}

absl::Status RestoreOperation::PostRestore(pid_t root) {
  CKPT_RETURN_IF_ERROR(FaultPoint("restore.built"));
  root_ = root;
  CKPT_RETURN_IF_ERROR(CountTasks(root));
  CKPT_RETURN_IF_ERROR(FaultPoint("restore.placed"));
  CKPT_RETURN_IF_ERROR(AwaitRelease());
  EnterPhase(v1::PHASE_RELEASE);
  CKPT_RETURN_IF_ERROR(WritePidfile());
  // From here on the job is to live, whatever becomes of us.  If we die before
  // CRIU has our answer, it refuses by itself and kills the tasks.
  CKPT_RETURN_IF_ERROR(guardian_->Disarm());
  CKPT_RETURN_IF_ERROR(FaultPoint("restore.before_release"));
  released_ = true;
  return absl::OkStatus();
}

absl::Status RestoreOperation::AwaitRelease() {
  if (environment_.hold == nullptr) return absl::OkStatus();
  CKPT_RETURN_IF_ERROR(work_dir_->Pin());
  CKPT_RETURN_IF_ERROR(environment_.hold(
      {.criu_pidfd = criu_->pidfd(),
       .criu_log = absl::StrCat(work_dir_->path(), "/", criu::kLogName)}));
  limits_ = {.deadline = clock_.Now() + kReleaseLimit};  // however long it took
  return absl::OkStatus();
}

absl::Status RestoreOperation::PreResume() {
  if (!request_.frozen()) return absl::OkStatus();
  // Every task is held by CRIU at its first instruction; frozen now, it stays
  // there when CRIU lets go.
  freezer::Freezer freezer(*group_, proc_, clock_);
  freeze_status_ =
      freezer.Freeze({.deadline = clock_.Now() + kFreezeLimit}).status();
  return freeze_status_;
}

absl::Status RestoreOperation::WritePidfile() {
  if (request_.pidfile().empty()) return absl::OkStatus();
  CKPT_ASSIGN_OR_RETURN(
      const UniqueFd fd,
      OpenAt(AT_FDCWD, request_.pidfile(), O_WRONLY | O_CREAT | O_TRUNC, 0644));
  return WriteAll(fd.get(), absl::StrCat(root_, "\n"), request_.pidfile());
}

bool RestoreOperation::WasLetGo() {
  if (!released_ || environment_.hold == nullptr) return false;
  criu_.reset();  // it writes nothing any more
  return criu::ShowsRelease(
      ReadFileAt(work_dir_->fd(), criu::kLogName).value_or(""));
}

absl::Status RestoreOperation::CallCriu() {
  const absl::Time start = clock_.Now();
  UniqueFd procs;
  CKPT_ASSIGN_OR_RETURN(procs, Birthplace().OpenProcsForWrite());
  CKPT_ASSIGN_OR_RETURN(criu_,
                        criu::Session::Start({.binary = environment_.criu,
                                              .cgroup_procs_fd = procs.get()}));
  report_.mutable_times()->set_criu_start_seconds(
      absl::ToDoubleSeconds(clock_.Now() - start));
  CKPT_RETURN_IF_ERROR(ArmGuardian());
  criu::RestoreArguments arguments;
  arguments.image_dir_fd = image_->dir_fd();
  arguments.work_dir_fd = work_dir_->fd();
  arguments.log_file = criu::kLogName;
  arguments.options =
      MergeOptions(image_->manifest().options(), request_.criu());
  // With less than that the log does not tell that the tasks were let go.
  if (environment_.hold != nullptr && arguments.options.log_level() == 0) {
    arguments.options.set_log_level(criu::kReleaseLogLevel);
  }
  EnterPhase(v1::PHASE_BUILD);
  CKPT_RETURN_IF_ERROR(FaultPoint("restore.before_criu"));
  limits_ = {.deadline = deadline_, .cancel = environment_.cancel};
  const auto root = criu_->Restore(arguments, *this, limits_);
  // CRIU may die, or take too long to end, when its work is done.
  if (!root.ok() && !WasLetGo()) return root.status();
  report_.mutable_times()->set_criu_seconds(
      absl::ToDoubleSeconds(clock_.Now() - start));
  return absl::OkStatus();
}

absl::Status RestoreOperation::Finish() {
  CKPT_RETURN_IF_ERROR(freeze_status_);
  freezer::Freezer freezer(*group_, proc_, clock_);
  const auto status = freezer.GetStatus(/*with_tasks=*/false);
  const v1::FreezerState wanted =
      request_.frozen() ? v1::FREEZER_STATE_FROZEN : v1::FREEZER_STATE_THAWED;
  const v1::FreezerState state =
      status.ok() ? status->state() : v1::FREEZER_STATE_UNSPECIFIED;
  report_.set_final_state(state);
  if (state != wanted) {  // it was let go: nothing takes it back now
    report_.add_warnings(absl::StrCat(
        "the group's state is ", v1::FreezerState_Name(state), ", not ",
        v1::FreezerState_Name(wanted), ": somebody else changed it meanwhile ",
        status.status().message()));
  }
  report_.set_pid(root_);
  report_.set_cgroup(group_->path());
  report_.set_processes(static_cast<int32_t>(contents_.processes.size()));
  report_.mutable_times()->set_total_seconds(
      absl::ToDoubleSeconds(clock_.Now() - start_));
  return absl::OkStatus();
}

absl::Status RestoreOperation::Undo(absl::Status why) {
  criu_.reset();
  work_dir_->Unpin();
  absl::Status undone;
  if (hold_ != nullptr) {
    freezer::Freezer freezer(*group_, proc_, clock_);
    auto pids = group_->SubtreeProcesses();
    if (guardian_ != nullptr && pids.ok() && !pids->empty()) {
      undone = freezer::KillGroup(freezer, SIGKILL,
                                  {.deadline = clock_.Now() + kKillLimit})
                   .status();
    }
  }
  if (guardian_ != nullptr) (void)guardian_->Disarm();
  if (task_groups_ != nullptr && undone.ok()) undone = task_groups_->Remove();
  if (undone.ok()) {
    undone = freezer::RemoveMadeCgroups(made_groups_, kKillLimit);
  }
  if (guardian_ != nullptr && undone.ok()) {
    why = WithMessage(
        why, absl::StrCat(why.message(), "; no process of the job is left"));
  }
  return work_dir_->KeepFor(AppendError(std::move(why), "cleaning up", undone));
}

absl::StatusOr<v1::RestoreReport> RestoreOperation::Run() {
  if (::getpid() == 1) {
    return absl::FailedPreconditionError(
        "ckpt is process 1 of its PID namespace, which ends with it, and the "
        "job would too; let something stay as process 1 (sh -c 'ckpt restore "
        "...; exec sleep infinity'); nothing was started");
  }
  CKPT_RETURN_IF_ERROR(OpenImage());
  const std::string& path = image_->path();
  CKPT_ASSIGN_OR_RETURN(
      work_dir_,
      criu::WorkDir::Create("restore", path.substr(path.rfind('/') + 1)));
  absl::Status status = PrepareGroup();
  if (status.ok()) status = CutFiles();
  if (status.ok()) status = CallCriu();
  if (status.ok()) status = Finish();
  if (!status.ok()) return Undo(std::move(status));
  task_groups_->Keep();
  return report_;
}

}  // namespace

absl::StatusOr<v1::RestoreReport> Restore(
    const v1::RestoreRequest& request, const RestoreEnvironment& environment) {
  return RestoreOperation(request, environment).Run();
}

}  // namespace ckpt::restore
