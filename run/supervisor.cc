#include "run/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/last_will.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "run/checkpointer.h"
#include "run/frame.h"
#include "run/hooks.h"
#include "run/job_directory.h"
#include "run/job_images.h"
#include "run/job_registry.h"
#include "run/job_starter.h"
#include "run/output_copier.h"
#include "run/self_calls.h"

namespace ckpt::run {
namespace {

// What reaches the job.  Not SIGCONT, which has done its work by itself.
constexpr int kForwarded[] = {SIGTERM, SIGINT,  SIGHUP,
                              SIGQUIT, SIGUSR1, SIGUSR2};

int ExitStatus(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status)
                                  : WEXITSTATUS(wait_status);
}

std::string SignalName(int signal) {
  return absl::StrCat("SIG", ::sigabbrev_np(signal));
}

class Supervisor {
 public:
  Supervisor(const RunOptions& options, const RunEnvironment& environment)
      : options_(options), environment_(environment) {}

  absl::StatusOr<v1::RunReport> Run();

 private:
  absl::Status Prepare();
  absl::Status TakeSignals();
  absl::Status MakeFrame();
  // The job runs after this.
  absl::Status Start();
  void FillRecord(const StartedJob& job);
  absl::Status WatchOutput(const StartedJob& job);

  // Until the job has ended.
  absl::Status Loop();
  // Whether the job has ended, which is looked at without waiting.
  bool HasEnded();
  void OnSignal(int signal);
  void Suspend();
  // Whether there is an image; without `go_on` the job has ended then.
  bool Checkpoint(bool go_on, SelfCaller* caller = nullptr);
  void OnCall(SelfCaller caller);
  void PlanNext();
  absl::Status Finish();

  void WriteRecord();
  void Warn(const std::string& text);

  const RunOptions& options_;
  const RunEnvironment& environment_;
  Clock& clock_ = Clock::Real();

  std::unique_ptr<JobEntry> entry_;
  std::unique_ptr<SelfCalls> calls_;  // null if the job cannot call
  std::unique_ptr<JobDirectory> directory_;
  std::unique_ptr<Hooks> hooks_;
  v1::JobLedger ledger_;
  std::unique_ptr<Frame> frame_;
  std::unique_ptr<LastWill> guardian_;
  std::vector<OutputCopier> copiers_;
  UniqueFd output_events_;
  UniqueFd signals_;
  pid_t root_ = 0;
  UniqueFd root_fd_;
  std::unique_ptr<Checkpointer> checkpointer_;
  absl::Time next_checkpoint_ = absl::InfiniteFuture();
  v1::JobRecord record_;
  v1::RunReport report_;
};

void Supervisor::Warn(const std::string& text) {
  environment_.tell(text);
  report_.add_warnings(text);
}

absl::Status Supervisor::TakeSignals() {
  sigset_t taken;
  sigemptyset(&taken);
  for (const int signal : kForwarded) sigaddset(&taken, signal);
  sigaddset(&taken, SIGTSTP);
  for (const int signal : options_.checkpoint_signals) {
    sigaddset(&taken, signal);
  }
  ::pthread_sigmask(SIG_BLOCK, &taken, nullptr);
  // Seen as an error of the write.
  (void)::signal(SIGPIPE, SIG_IGN);
  signals_.Reset(::signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.ok()) return ErrnoToStatus(errno, "signalfd");
  return absl::OkStatus();
}

absl::Status Supervisor::Prepare() {
  if (options_.argv.empty()) {
    return absl::InvalidArgumentError("name the command, after '--'");
  }
  // A path would be one for an image.
  if (absl::StrContains(options_.name, '/')) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", options_.name, "' is no name for a job: it has a /"));
  }
  CKPT_RETURN_IF_ERROR(
      environment_.store->PathOf(JobImageName(options_.name, INT32_MAX))
          .status());
  CKPT_RETURN_IF_ERROR(TakeSignals());
  CKPT_ASSIGN_OR_RETURN(entry_,
                        JobRegistry::Default().Enter(options_.name, clock_));
  CKPT_ASSIGN_OR_RETURN(
      JobDirectory directory,
      JobDirectory::Make(environment_.store->directory(), options_.name));
  directory_ = std::make_unique<JobDirectory>(std::move(directory));
  CKPT_ASSIGN_OR_RETURN(ledger_, directory_->ReadLedger());
  CKPT_ASSIGN_OR_RETURN(Hooks hooks,
                        Hooks::Open(options_.hooks, options_.name,
                                    environment_.store->directory()));
  hooks_ = std::make_unique<Hooks>(std::move(hooks));
  // What CRIU restores becomes our child when CRIU has ended.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
    return ErrnoToStatus(errno, "become the job's reaper");
  }
  return absl::OkStatus();
}

absl::Status Supervisor::MakeFrame() {
  CKPT_ASSIGN_OR_RETURN(frame_, Frame::Make(absl::StrCat(options_.parent_group,
                                                         "/", options_.name),
                                            options_.hierarchy));
  CKPT_ASSIGN_OR_RETURN(const v1::KillReport left, frame_->KillAll());
  if (left.processes() > 0) {
    Warn(absl::StrCat("ended ", left.processes(),
                      " process(es) that an earlier run had left in ",
                      frame_->group().path()));
  }
  guardian_ = std::make_unique<LastWill>();
  entry_->Protect(*guardian_);
  CKPT_RETURN_IF_ERROR(frame_->Guard(*guardian_));
  return FaultPoint("run.guarded");
}

absl::Status Supervisor::WatchOutput(const StartedJob& job) {
  output_events_.Reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!output_events_.ok()) return ErrnoToStatus(errno, "inotify");
  const auto copy = [&](const std::string& path, off_t from, int fd) {
    copiers_.emplace_back(path, from, fd);
    (void)::inotify_add_watch(output_events_.get(), path.c_str(), IN_MODIFY);
  };
  // Of its own files alone: others the user can look into.
  if (job.output == directory_->output()) {
    copy(job.output, job.output_from, environment_.output_fd);
  }
  if (job.error_output == directory_->error_output()) {
    copy(job.error_output, job.error_from, environment_.error_fd);
  }
  return absl::OkStatus();
}

absl::Status Supervisor::Start() {
  auto calls = SelfCalls::Listen(entry_->calls_path());
  if (calls.ok()) {
    calls_ = *std::move(calls);
  } else {
    Warn(absl::StrCat("the job cannot checkpoint itself: ",
                      calls.status().message()));
  }
  JobStarter starter(options_, environment_, *frame_, *directory_, *hooks_,
                     entry_->calls_path());
  CKPT_ASSIGN_OR_RETURN(const StartedJob job, starter.Start(ledger_));
  CKPT_RETURN_IF_ERROR(FaultPoint("run.started"));
  root_ = job.root;
  root_fd_.Reset(static_cast<int>(::syscall(SYS_pidfd_open, root_, 0)));
  if (!root_fd_.ok()) return ErrnoToStatus(errno, "pidfd_open the job");
  for (const std::string& warning : job.warnings) report_.add_warnings(warning);
  checkpointer_ = std::make_unique<Checkpointer>(
      options_, environment_, *frame_, *hooks_,
      Checkpointer::Job{root_, job.last_number, ledger_.restarts(),
                        [this] { return HasEnded(); },
                        [this](const std::string& text) { Warn(text); }});
  FillRecord(job);
  PlanNext();
  CKPT_RETURN_IF_ERROR(FaultPoint("run.recorded"));
  return WatchOutput(job);
}

void Supervisor::FillRecord(const StartedJob& job) {
  record_.set_name(options_.name);
  record_.set_supervisor_pid(::getpid());
  record_.set_root_pid(root_);
  record_.set_cgroup(frame_->group().path());
  record_.set_hierarchy(frame_->group().hierarchy());
  record_.set_store(environment_.store->directory());
  *record_.mutable_command() = {options_.argv.begin(), options_.argv.end()};
  record_.set_started_unix_ns(absl::GetCurrentTimeNanos());
  record_.set_restored_from(job.restored_from);
  record_.set_last_image(job.restored_from);
  record_.set_last_image_unix_ns(job.image_unix_ns);
  record_.set_restarts(ledger_.restarts());
  record_.set_output(job.output);
  record_.set_error_output(job.error_output);
  report_.set_name(options_.name);
  report_.set_restored_from(job.restored_from);
  report_.set_restarts(ledger_.restarts());
}

void Supervisor::PlanNext() {
  if (options_.every != absl::InfiniteDuration()) {
    next_checkpoint_ = clock_.Now() + options_.every;
    record_.set_next_checkpoint_unix_ns(
        absl::ToUnixNanos(absl::Now() + options_.every));
  }
  WriteRecord();
}

void Supervisor::WriteRecord() {
  const absl::Status written = entry_->Write(record_);
  // The job does not suffer for what others want to know of it.
  if (!written.ok()) Warn(std::string(written.message()));
}

bool Supervisor::HasEnded() {
  siginfo_t info = {};
  return ::waitid(P_PID, static_cast<id_t>(root_), &info,
                  WEXITED | WNOHANG | WNOWAIT) != 0 ||
         info.si_pid == root_;
}

bool Supervisor::Checkpoint(bool go_on, SelfCaller* caller) {
  const auto image = checkpointer_->Checkpoint(go_on, caller);
  if (!image.ok()) {
    // It may have ended under the checkpoint, which is no failure.
    if (HasEnded()) return false;
    const std::string why(image.status().message());
    report_.set_failed_checkpoints(report_.failed_checkpoints() + 1);
    record_.set_last_problem(why);
    Warn(absl::StrCat("checkpoint failed: ", why));
    PlanNext();
    return false;
  }
  report_.set_checkpoints(report_.checkpoints() + 1);
  report_.set_last_image(*image);
  record_.set_last_image(*image);
  record_.set_last_image_unix_ns(absl::GetCurrentTimeNanos());
  record_.clear_last_problem();
  PlanNext();
  checkpointer_->RemoveOldImages(ledger_.finished_image());
  return true;
}

void Supervisor::Suspend() {
  // The job knows nothing of it; who waits for us sees us stopped.
  absl::Status status = frame_->Suspend();
  if (!status.ok()) {
    Warn(absl::StrCat("not suspended: ", status.message()));
    return;
  }
  ::raise(SIGSTOP);
  status = frame_->Resume();
  if (!status.ok()) Warn(absl::StrCat("not resumed: ", status.message()));
}

void Supervisor::OnSignal(int signal) {
  if (options_.checkpoint_signals.count(signal) > 0) {
    (void)Checkpoint(/*go_on=*/true);
    return;
  }
  if (signal == SIGTSTP) return Suspend();
  if (signal == SIGTERM && options_.before_end) {
    if (Checkpoint(/*go_on=*/false)) {
      report_.set_ended_in_image(true);
      return;
    }
    if (HasEnded()) return;
    Warn("there is no image of its end: SIGTERM goes to the job");
  }
  if (::kill(root_, signal) != 0 && errno != ESRCH) {
    Warn(std::string(
        ErrnoToStatus(errno, "send to the job", SignalName(signal)).message()));
  }
}

void Supervisor::OnCall(SelfCaller caller) {
  const bool go_on = !caller.exit();
  if (Checkpoint(go_on, &caller) && !go_on) report_.set_ended_in_image(true);
}

absl::Status Supervisor::Loop() {
  while (!HasEnded()) {
    const absl::Duration left =
        std::max(next_checkpoint_ - clock_.Now(), absl::ZeroDuration());
    const timespec timeout = absl::ToTimespec(std::min(left, absl::Hours(1)));
    pollfd fds[4] = {{signals_.get(), POLLIN, 0},
                     {root_fd_.get(), POLLIN, 0},
                     {output_events_.get(), POLLIN, 0},
                     {calls_ == nullptr ? -1 : calls_->fd(), POLLIN, 0}};
    if (::ppoll(fds, 4, &timeout, nullptr) < 0 && errno != EINTR) {
      return ErrnoToStatus(errno, "poll");
    }
    char events[4096];
    while (::read(output_events_.get(), events, sizeof(events)) > 0) {
    }
    for (OutputCopier& copier : copiers_) copier.Copy();
    signalfd_siginfo signal = {};
    while (!HasEnded() && ::read(signals_.get(), &signal, sizeof(signal)) ==
                              static_cast<ssize_t>(sizeof(signal))) {
      OnSignal(static_cast<int>(signal.ssi_signo));
    }
    while (calls_ != nullptr && !HasEnded()) {
      auto caller = calls_->Next(root_);
      if (!caller.has_value()) break;
      OnCall(*std::move(caller));
    }
    if (clock_.Now() >= next_checkpoint_ && !HasEnded()) {
      (void)Checkpoint(/*go_on=*/true);
    }
  }
  int status = 0;
  if (::waitpid(root_, &status, 0) != root_) {
    return ErrnoToStatus(errno, "wait for the job");
  }
  report_.set_exit_status(report_.ended_in_image() ? options_.before_end_status
                                                   : ExitStatus(status));
  return absl::OkStatus();
}

absl::Status Supervisor::Finish() {
  for (OutputCopier& copier : copiers_) copier.Copy();
  if (report_.exit_status() == 0 && !report_.ended_in_image()) {
    // First the ledger: what cannot be removed is not restored all the same.
    ledger_.set_finished_image(checkpointer_->last_number());
    CKPT_RETURN_IF_ERROR(FaultPoint("run.ended"));
    CKPT_RETURN_IF_ERROR(directory_->WriteLedger(ledger_));
    CKPT_RETURN_IF_ERROR(FaultPoint("run.finished"));
    checkpointer_->RemoveOldImages(ledger_.finished_image());
  } else if (checkpointer_->last_number() > ledger_.finished_image()) {
    environment_.tell(absl::StrCat(
        "job ", options_.name, " ended with status ", report_.exit_status(),
        "; run again, it goes on from ",
        JobImageName(options_.name, checkpointer_->last_number())));
  }
  CKPT_RETURN_IF_ERROR(frame_->Remove());
  return guardian_->Disarm();
}

absl::StatusOr<v1::RunReport> Supervisor::Run() {
  CKPT_RETURN_IF_ERROR(Prepare());
  CKPT_RETURN_IF_ERROR(MakeFrame());
  absl::Status status = Start();
  if (status.ok()) status = Loop();
  if (!status.ok()) {
    status = AppendError(std::move(status), "ending the job",
                         frame_->KillAll().status());
    status = AppendError(std::move(status), "cleaning up", frame_->Remove());
    return AppendError(std::move(status), "guardian", guardian_->Disarm());
  }
  const absl::Status finished = Finish();
  // The job has its exit status, whatever becomes of what is left of it.
  if (!finished.ok()) Warn(std::string(finished.message()));
  return report_;
}

}  // namespace

absl::StatusOr<v1::RunReport> Supervise(const RunOptions& options,
                                        const RunEnvironment& environment) {
  return Supervisor(options, environment).Run();
}

}  // namespace ckpt::run
