#include "run/job_control.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "freezer/cgroup.h"
#include "freezer/freezer.h"
#include "run/frame.h"

namespace ckpt::run {
namespace {

// What the kernel and the supervisor need after a SIGKILL.
constexpr absl::Duration kKillLimit = absl::Seconds(30);

v1::JobState StateOf(const RegisteredJob& job, const v1::CgroupStatus& status) {
  if (!job.supervised) return v1::JOB_STATE_ABANDONED;
  switch (status.state()) {
    case v1::FREEZER_STATE_THAWED:
      return v1::JOB_STATE_RUNNING;
    case v1::FREEZER_STATE_FROZEN:
      return v1::JOB_STATE_SUSPENDED;
    default:
      return v1::JOB_STATE_CHECKPOINTING;
  }
}

// VmRSS of /proc/PID/status, "123 kB"; 0 when it has ended.
uint64_t ResidentBytes(ProcFs& proc, pid_t pid) {
  const auto text = proc.StatusField(pid, "VmRSS");
  if (!text.ok()) return 0;
  uint64_t kibibytes = 0;
  const absl::string_view number = absl::StripAsciiWhitespace(*text);
  (void)absl::SimpleAtoi(number.substr(0, number.find(' ')), &kibibytes);
  return kibibytes * 1024;
}

absl::StatusOr<std::unique_ptr<Frame>> FrameOf(const RegisteredJob& job) {
  return Frame::Open(job.record.cgroup(), job.record.hierarchy());
}

// Whether the process has ended.
absl::StatusOr<bool> WaitForEnd(int pidfd, absl::Duration limit, Clock& clock,
                                const Cancellation* cancel) {
  const absl::Time deadline = clock.Now() + limit;
  while (true) {
    pollfd fds[2] = {{pidfd, POLLIN, 0},
                     {cancel == nullptr ? -1 : cancel->fd(), POLLIN, 0}};
    const absl::Duration left =
        std::max(deadline - clock.Now(), absl::ZeroDuration());
    const timespec timeout = absl::ToTimespec(left);
    const int ready = ::ppoll(fds, 2, &timeout, nullptr);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return ErrnoToStatus(errno, "poll");
    if (fds[0].revents != 0) return true;
    if (fds[1].revents != 0) return absl::CancelledError("cancelled");
    if (ready == 0) return false;
  }
}

// Not ok() when it has ended.
UniqueFd OpenSupervisor(const RegisteredJob& job) {
  if (!job.supervised) return UniqueFd();
  return UniqueFd(static_cast<int>(
      ::syscall(SYS_pidfd_open, job.record.supervisor_pid(), 0)));
}

// Of a job that was killed.
absl::Status AwaitSupervisor(const RegisteredJob& job, int pidfd,
                             absl::Duration limit, Clock& clock,
                             const Cancellation* cancel) {
  CKPT_ASSIGN_OR_RETURN(const bool ended,
                        WaitForEnd(pidfd, limit, clock, cancel));
  if (ended) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat(
      "job ", job.record.name(), " was killed, but its supervisor, process ",
      job.record.supervisor_pid(), ", does not end"));
}

}  // namespace

v1::JobStatus DescribeJob(const RegisteredJob& job, ProcFs& proc) {
  v1::JobStatus status;
  *status.mutable_record() = job.record;
  const auto group = freezer::OpenCgroup(job.record.cgroup());
  v1::CgroupStatus cgroup;
  if (group.ok()) {
    freezer::Freezer freezer(**group, proc, Clock::Real());
    cgroup = freezer.GetStatus(/*with_tasks=*/false).value_or(cgroup);
    const auto pids = (*group)->SubtreeProcesses();
    for (const pid_t pid : pids.value_or(std::vector<pid_t>())) {
      if (pid == job.record.root_pid()) continue;
      status.set_processes(status.processes() + 1);
      status.set_memory_bytes(status.memory_bytes() + ResidentBytes(proc, pid));
    }
  }
  status.set_state(StateOf(job, cgroup));
  return status;
}

absl::Status SuspendJob(const RegisteredJob& job) {
  CKPT_ASSIGN_OR_RETURN(const auto frame, FrameOf(job));
  return frame->Suspend();
}

absl::Status ResumeJob(const RegisteredJob& job) {
  CKPT_ASSIGN_OR_RETURN(const auto frame, FrameOf(job));
  return frame->Resume();
}

absl::StatusOr<v1::KillReport> KillJob(const JobRegistry& registry,
                                       const RegisteredJob& job, int signal,
                                       absl::Duration limit, Clock& clock,
                                       const Cancellation* cancel) {
  const UniqueFd supervisor = OpenSupervisor(job);
  CKPT_ASSIGN_OR_RETURN(const auto frame, FrameOf(job));
  if (signal != SIGKILL) {
    return frame->Signal(signal, job.record.root_pid(), cancel);
  }
  CKPT_ASSIGN_OR_RETURN(const v1::KillReport report, frame->KillAll(cancel));
  if (supervisor.ok()) {
    CKPT_RETURN_IF_ERROR(
        AwaitSupervisor(job, supervisor.get(), limit, clock, cancel));
    return report;
  }
  CKPT_RETURN_IF_ERROR(frame->Remove());
  CKPT_RETURN_IF_ERROR(registry.Enter(job.record.name(), clock).status());
  return report;
}

absl::StatusOr<v1::StopReport> StopJob(const RegisteredJob& job,
                                       absl::Duration limit, Clock& clock,
                                       const Cancellation* cancel) {
  const std::string& name = job.record.name();
  const absl::Time start = clock.Now();
  const UniqueFd supervisor = OpenSupervisor(job);
  if (!supervisor.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "job ", name, " has no supervisor any more (process ",
        job.record.supervisor_pid(), " has ended); what is left of it is in ",
        job.record.cgroup(), ": 'ckpt kill ", name, "' ends that"));
  }
  v1::StopReport report;
  report.set_name(name);
  if (::syscall(SYS_pidfd_send_signal, supervisor.get(), SIGTERM, nullptr, 0) !=
      0) {
    return ErrnoToStatus(errno, "send SIGTERM to",
                         absl::StrCat(job.record.supervisor_pid()));
  }
  CKPT_ASSIGN_OR_RETURN(const bool ended,
                        WaitForEnd(supervisor.get(), limit, clock, cancel));
  if (!ended) {
    report.set_killed(true);
    CKPT_ASSIGN_OR_RETURN(const auto frame, FrameOf(job));
    // The supervisor may remove the frame before we look at it again.
    const absl::Status killed = frame->KillAll(cancel).status();
    if (!killed.ok() && !absl::IsNotFound(killed)) return killed;
    CKPT_RETURN_IF_ERROR(
        AwaitSupervisor(job, supervisor.get(), kKillLimit, clock, cancel));
  }
  report.set_seconds(absl::ToDoubleSeconds(clock.Now() - start));
  return report;
}

}  // namespace ckpt::run
