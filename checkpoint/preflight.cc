#include "checkpoint/preflight.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/check_cancel.h"
#include "base/clock.h"
#include "base/status.h"
#include "checkpoint/findings.h"
#include "checkpoint/job_files.h"
#include "checkpoint/job_findings.h"
#include "checkpoint/pipes.h"
#include "freezer/freezer.h"
#include "freezer/lookup.h"

namespace ckpt::checkpoint {
namespace {

constexpr char kUntouched[] = "; nothing was touched";

constexpr char kVfork[] = "vfork";

// How long a frozen task may take to come to rest.
constexpr absl::Duration kRestLimit = absl::Milliseconds(100);

bool HasCapSysResource() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return true;
  return (data[CAP_SYS_RESOURCE / 32].effective &
          (1U << (CAP_SYS_RESOURCE % 32))) != 0;
}

v1::CheckFinding Blocker(absl::string_view subject, const ThreadStat& task,
                         absl::string_view found, absl::string_view meaning,
                         absl::string_view advice) {
  v1::CheckFinding finding;
  finding.set_subject(std::string(subject));
  finding.set_level(v1::CheckFinding::LEVEL_BLOCKER);
  finding.set_found(std::string(found));
  finding.set_meaning(std::string(meaning));
  finding.set_advice(std::string(advice));
  finding.set_pid(task.pid);
  finding.set_comm(task.comm);
  return finding;
}

// CRIU reads a task's limits by prlimit(), which needs the same ids or
// CAP_SYS_RESOURCE.
void JudgeOwner(ProcFs& proc, const SurveyedProcess& process,
                FindingList& list) {
  constexpr Rule kOwner = {
      "other user",
      "and this ckpt lacks CAP_SYS_RESOURCE, without which CRIU cannot read "
      "its limits",
      "give ckpt the capability, or run the job in a user namespace of its "
      "own"};
  const auto ids = proc.StatusField(process.stat.pid, "Uid");
  if (!ids.ok()) return;
  uint32_t uid = 0;
  const std::vector<std::string> fields =
      absl::StrSplit(*ids, absl::ByAnyChar("\t "), absl::SkipEmpty());
  if (fields.empty() || !absl::SimpleAtoi(fields.front(), &uid) ||
      uid == ::getuid()) {
    return;
  }
  list.Add(kOwner, absl::StrCat(process.Name(), " runs as user ", uid),
           &process);
}

void JudgeTracer(ProcFs& proc, const ThreadStat& task,
                 std::vector<v1::CheckFinding>& found) {
  const auto tracer = proc.StatusField(task.tid, "TracerPid");
  if (!tracer.ok() || tracer->empty() || *tracer == "0") return;
  pid_t pid = 0;
  (void)absl::SimpleAtoi(*tracer, &pid);
  found.push_back(Blocker(
      "traced", task,
      absl::StrCat("task ", DescribeTask(proc, task.tid),
                   " is traced by process ", DescribeTask(proc, pid)),
      "which CRIU would have to be", "end the tracer (debugger, strace)"));
}

std::string ReadWord(ProcFs& proc, pid_t pid, const std::string& file) {
  const auto text = proc.Read(pid, file);
  if (!text.ok()) return "";
  return text->substr(0, text->find_first_of(" \n"));
}

// A stopped task that a v1 freezer holds shows state D; its wait channel tells.
bool IsStopped(ProcFs& proc, const ThreadStat& stat) {
  return stat.state == 'T' ||
         (stat.state == 'D' &&
          ReadWord(proc, stat.tid, "wchan") == "do_signal_stop");
}

// The parent of a vfork() (as posix_spawn() does one) sleeps uninterruptibly
// until the child has exec'ed or ended; CRIU cannot seize it then.  Frozen or
// not, it stays in that wait, which Linux 6.18 has inlined into kernel_clone().
// Its system call tells less: a task frozen on its way out of clone() shows
// that, too.
bool IsVforkWait(absl::string_view wchan) {
  return wchan == "kernel_clone" || wchan == "wait_for_vfork_done";
}

// `frozen`: null unless the task is.  One that enters vfork() counts as frozen
// a moment before it sleeps (wait_for_vfork_done() in Linux's kernel/fork.c),
// and on a busy machine it may lose its CPU in that moment.
void JudgeThread(ProcFs& proc, pid_t tid, Clock* frozen,
                 std::vector<v1::CheckFinding>& found) {
  const absl::Time start = frozen == nullptr ? absl::Time() : frozen->Now();
  absl::StatusOr<ThreadStat> stat;
  std::string wchan;
  while (true) {
    stat = proc.Stat(tid);
    if (!stat.ok()) return;
    if (stat->state == 'D') wchan = ReadWord(proc, tid, "wchan");
    const bool is_on_its_way =
        stat->state == 'R' || (stat->state == 'D' && wchan == "0");
    if (frozen == nullptr || !is_on_its_way ||
        frozen->Now() - start > kRestLimit) {
      break;
    }
    frozen->Sleep(absl::Milliseconds(1));
  }
  if (stat->state == 'D' && IsVforkWait(wchan)) {
    v1::CheckFinding finding =
        Blocker(kVfork, *stat,
                absl::StrCat("task ", tid, " (", stat->comm,
                             ") waits in vfork() for its child"),
                "where CRIU cannot stop it",
                "retry when the child has started its program");
    finding.set_will_pass(true);
    found.push_back(std::move(finding));
  }
  JudgeTracer(proc, *stat, found);
}

void JudgeProcess(ProcFs& proc, pid_t pid, bool is_root, Clock* frozen,
                  std::vector<v1::CheckFinding>& found) {
  const auto stat = proc.Stat(pid);
  if (!stat.ok()) return;
  const std::string who = absl::StrCat("process ", pid, " (", stat->comm, ")");
  if (stat->state == 'Z' || stat->state == 'X') {
    if (!is_root) return;
    found.push_back(
        Blocker("ended", *stat,
                absl::StrCat(who, ", the root of the tree, has ended already"),
                "", "name the tree of a child"));
    return;
  }
  if (IsStopped(proc, *stat)) {
    found.push_back(
        Blocker("stopped", *stat,
                absl::StrCat(who, " is stopped (SIGSTOP or the like)"),
                "and with a v1 freezer CRIU would hang on it",
                "send it SIGCONT and retry"));
    return;
  }
  const auto threads = proc.Threads(pid);
  if (!threads.ok()) return;
  for (const pid_t tid : *threads) JudgeThread(proc, tid, frozen, found);
}

std::vector<v1::CheckFinding> JudgeTasks(ProcFs& proc,
                                         const std::vector<pid_t>& tree,
                                         Clock* frozen) {
  std::vector<v1::CheckFinding> found;
  for (size_t i = 0; i < tree.size(); ++i) {
    JudgeProcess(proc, tree[i], /*is_root=*/i == 0, frozen, found);
  }
  return found;
}

absl::Status FrozenElsewhere(const freezer::Cgroup& group,
                             absl::string_view by) {
  return absl::FailedPreconditionError(absl::StrCat(
      "tasks of the job are frozen by cgroup ", by.empty() ? group.path() : by,
      by.empty() ? "" : absl::StrCat(", an ancestor of ", group.path()),
      ", with which CRIU would hang; thaw that group and retry"));
}

// The group below `group` that is frozen by itself, or "".
absl::StatusOr<std::string> FrozenBelow(freezer::Cgroup& group, ProcFs& proc) {
  CKPT_ASSIGN_OR_RETURN(const auto children, group.Children());
  for (const auto& child : children) {
    freezer::Freezer freezer(*child, proc, Clock::Real());
    const auto status = freezer.GetStatus(/*with_tasks=*/false);
    if (!status.ok()) continue;  // removed meanwhile
    if (status->self_freezing()) return child->path();
    CKPT_ASSIGN_OR_RETURN(std::string below, FrozenBelow(*child, proc));
    if (!below.empty()) return below;
  }
  return std::string();
}

v1::CheckFinding FreezerFinding(const absl::Status& status) {
  v1::CheckFinding finding;
  finding.set_subject("other freezer");
  finding.set_level(v1::CheckFinding::LEVEL_BLOCKER);
  finding.set_found(std::string(status.message()));
  return finding;
}

}  // namespace

absl::Status CheckTasks(ProcFs& proc, const std::vector<pid_t>& tree,
                        Clock* frozen) {
  v1::CheckReport report;
  for (v1::CheckFinding& finding : JudgeTasks(proc, tree, frozen)) {
    *report.add_findings() = std::move(finding);
  }
  report.set_usable(report.findings().empty());
  return ToStatus(report);
}

absl::Status CheckOtherFreezers(const Job& job, ProcFs& proc,
                                const std::vector<pid_t>& tree) {
  // Many tasks, few groups.
  std::set<std::string> seen;
  for (const pid_t pid : tree) {
    const auto text = proc.Read(pid, "cgroup");
    if (!text.ok() || !seen.insert(*text).second) continue;
    for (const v1::Hierarchy hierarchy : {v1::HIERARCHY_V1, v1::HIERARCHY_V2}) {
      const auto group = freezer::CgroupOf(pid, hierarchy);
      if (!group.ok() || (*group)->is_root()) continue;
      freezer::Freezer freezer(**group, proc, Clock::Real());
      CKPT_ASSIGN_OR_RETURN(const v1::CgroupStatus status,
                            freezer.GetStatus(/*with_tasks=*/false));
      const bool by_frame = job.group != nullptr && job.subtree &&
                            status.frozen_ancestor() == job.group->path();
      if (!status.frozen_ancestor().empty() && !by_frame) {
        return FrozenElsewhere(**group, status.frozen_ancestor());
      }
      const bool is_own =
          job.group != nullptr && (*group)->path() == job.group->path();
      if (!is_own && status.self_freezing()) {
        return FrozenElsewhere(**group, "");
      }
    }
  }
  if (job.group == nullptr) return absl::OkStatus();
  freezer::Freezer freezer(*job.group, proc, Clock::Real());
  CKPT_ASSIGN_OR_RETURN(const v1::CgroupStatus status,
                        freezer.GetStatus(/*with_tasks=*/false));
  if (!status.frozen_ancestor().empty()) {
    return FrozenElsewhere(*job.group, status.frozen_ancestor());
  }
  CKPT_ASSIGN_OR_RETURN(const std::string below, FrozenBelow(*job.group, proc));
  if (below.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "cgroup ", below, " below ", job.group->path(),
      " is frozen, with which CRIU would hang; thaw it and retry"));
}

absl::StatusOr<v1::CheckReport> Examine(const Job& job, ProcFs& proc,
                                        const v1::CriuOptions& options,
                                        JobSurvey* survey,
                                        const Cancellation* cancel) {
  constexpr char kCancelled[] = "cancelled; nothing was touched";
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> tree,
                        ProcessTree(proc, job.root));
  const pid_t self = ::getpid();
  if (std::find(tree.begin(), tree.end(), self) != tree.end()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "ckpt itself (process ", self, ") belongs to the tree of process ",
        job.root, "; start it from outside"));
  }
  JobSurvey seen = SurveyJob(tree, proc, JobFiles::Real());
  CKPT_RETURN_IF_ERROR(CheckCancel(cancel, kCancelled));
  FindingList list(options);
  for (v1::CheckFinding& finding : JudgeTasks(proc, tree, nullptr)) {
    list.Add(std::move(finding));
  }
  if (!HasCapSysResource()) {
    for (const SurveyedProcess& process : seen.processes) {
      JudgeOwner(proc, process, list);
    }
  }
  JudgeJob(seen, list);
  JudgeSockets(seen, list);
  CKPT_RETURN_IF_ERROR(CheckCancel(cancel, kCancelled));
  CKPT_ASSIGN_OR_RETURN(absl::optional<v1::CheckFinding> pipe,
                        FindOutsidePipe(proc, tree, options));
  if (pipe.has_value()) list.Add(*std::move(pipe));
  const absl::Status freezers = CheckOtherFreezers(job, proc, tree);
  if (freezers.code() == absl::StatusCode::kFailedPrecondition) {
    list.Add(FreezerFinding(freezers));
  } else {
    CKPT_RETURN_IF_ERROR(freezers);
  }
  v1::CheckReport report = MakeReport(list.Take());
  report.set_root_pid(job.root);
  report.set_processes(static_cast<int32_t>(tree.size()));
  for (const SurveyedProcess& process : seen.processes) {
    report.set_threads(report.threads() +
                       static_cast<int32_t>(process.threads.size()));
  }
  if (job.group != nullptr) report.set_cgroup(job.group->path());
  if (survey != nullptr) *survey = std::move(seen);
  return report;
}

absl::Status Preflight(const Job& job, ProcFs& proc,
                       const v1::CriuOptions& options, v1::DumpReport* dump) {
  absl::StatusOr<v1::CheckReport> report = Examine(job, proc, options);
  if (!report.ok()) {
    return WithMessage(report.status(),
                       absl::StrCat(report.status().message(), kUntouched));
  }
  bool usable = true;
  for (v1::CheckFinding& finding : *report->mutable_findings()) {
    if (finding.will_pass() && finding.subject() != kVfork) {
      finding.set_level(v1::CheckFinding::LEVEL_WARNING);
    } else if (IsInTheWay(finding)) {
      usable = false;
    } else if (dump != nullptr) {
      dump->add_warnings(
          absl::StrCat(finding.found(), ", ", finding.meaning()));
    }
  }
  report->set_usable(usable);
  absl::Status status = ToStatus(*report);
  if (status.ok()) return status;
  return WithMessage(status, absl::StrCat(status.message(), kUntouched));
}

}  // namespace ckpt::checkpoint
