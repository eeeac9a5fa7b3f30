#include "checkpoint/preflight.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <set>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/status.h"
#include "checkpoint/pipes.h"
#include "freezer/freezer.h"
#include "freezer/lookup.h"

namespace ckpt::checkpoint {
namespace {

constexpr char kUntouched[] = "; nothing was touched";

// How long a frozen task may take to come to rest.
constexpr absl::Duration kRestLimit = absl::Milliseconds(100);

// What CRIU refuses only after it has held the job for a while, or in words
// that name nothing.  Targets of /proc/PID/fd links.
struct BadFile {
  absl::string_view target;
  absl::string_view name;
};
constexpr BadFile kBadFiles[] = {
    {"anon_inode:[io_uring]", "an io_uring"},
    {"anon_inode:[userfaultfd]", "a userfaultfd"},
    {"anon_inode:bpf-map", "a BPF map"},
    {"anon_inode:bpf-prog", "a BPF program"},
    {"anon_inode:[perf_event]", "a perf event"},
};

absl::Status CheckFiles(ProcFs& proc, pid_t pid) {
  const auto files = proc.OpenFiles(pid);
  if (!files.ok()) return absl::OkStatus();  // ended meanwhile
  for (const OpenFile& file : *files) {
    for (const BadFile& bad : kBadFiles) {
      if (file.target != bad.target) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("process ", DescribeTask(proc, pid), " has ", bad.name,
                       " open, which CRIU cannot dump", kUntouched));
    }
  }
  return absl::OkStatus();
}

bool HasCapSysResource() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return true;
  return (data[CAP_SYS_RESOURCE / 32].effective &
          (1U << (CAP_SYS_RESOURCE % 32))) != 0;
}

// CRIU reads a task's limits by prlimit(), which needs the same ids or
// CAP_SYS_RESOURCE.
absl::Status CheckOwner(ProcFs& proc, pid_t pid) {
  const auto ids = proc.StatusField(pid, "Uid");
  if (!ids.ok()) return absl::OkStatus();
  uint32_t uid = 0;
  const std::vector<std::string> fields =
      absl::StrSplit(*ids, absl::ByAnyChar("\t "), absl::SkipEmpty());
  if (fields.empty() || !absl::SimpleAtoi(fields.front(), &uid) ||
      uid == ::getuid()) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "process ", DescribeTask(proc, pid), " runs as user ", uid,
      ", and this ckpt lacks CAP_SYS_RESOURCE, without which CRIU cannot read "
      "its limits; give ckpt the capability, or run the job in a user "
      "namespace "
      "of its own",
      kUntouched));
}

absl::Status CheckTracer(ProcFs& proc, pid_t tid) {
  const auto tracer = proc.StatusField(tid, "TracerPid");
  if (!tracer.ok() || tracer->empty() || *tracer == "0") {
    return absl::OkStatus();
  }
  pid_t pid = 0;
  (void)absl::SimpleAtoi(*tracer, &pid);
  return absl::FailedPreconditionError(
      absl::StrCat("task ", DescribeTask(proc, tid), " is traced by process ",
                   DescribeTask(proc, pid),
                   "; end the tracer (debugger, strace) and retry"));
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
absl::Status CheckThread(ProcFs& proc, pid_t tid, Clock* frozen) {
  const absl::Time start = frozen == nullptr ? absl::Time() : frozen->Now();
  absl::StatusOr<ThreadStat> stat;
  std::string wchan;
  while (true) {
    stat = proc.Stat(tid);
    if (!stat.ok()) return absl::OkStatus();
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
    return absl::UnavailableError(
        absl::StrCat("task ", tid, " (", stat->comm,
                     ") waits in vfork() for its child, where CRIU cannot "
                     "stop it; retry when the child has started its program"));
  }
  return CheckTracer(proc, tid);
}

absl::Status CheckProcess(ProcFs& proc, pid_t pid, bool is_root,
                          Clock* frozen) {
  const auto stat = proc.Stat(pid);
  if (!stat.ok()) return absl::OkStatus();
  const std::string who = absl::StrCat(pid, " (", stat->comm, ")");
  if (stat->state == 'Z' || stat->state == 'X') {
    if (!is_root) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        "process ", who, ", the root of the tree, has ended already"));
  }
  if (IsStopped(proc, *stat)) {
    return absl::FailedPreconditionError(
        absl::StrCat("process ", who,
                     " is stopped (SIGSTOP or the like), and CRIU would "
                     "hang on it; send it SIGCONT and retry"));
  }
  const auto threads = proc.Threads(pid);
  if (!threads.ok()) return absl::OkStatus();
  for (const pid_t tid : *threads) {
    CKPT_RETURN_IF_ERROR(CheckThread(proc, tid, frozen));
  }
  return absl::OkStatus();
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

}  // namespace

absl::Status CheckTasks(ProcFs& proc, const std::vector<pid_t>& tree,
                        Clock* frozen) {
  for (size_t i = 0; i < tree.size(); ++i) {
    CKPT_RETURN_IF_ERROR(
        CheckProcess(proc, tree[i], /*is_root=*/i == 0, frozen));
  }
  return absl::OkStatus();
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

absl::Status Preflight(const Job& job, ProcFs& proc,
                       const v1::CriuOptions& options) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> tree,
                        ProcessTree(proc, job.root));
  const pid_t self = ::getpid();
  const bool may_read_limits = HasCapSysResource();
  for (const pid_t pid : tree) {
    if (pid == self) {
      return absl::FailedPreconditionError(absl::StrCat(
          "ckpt itself (process ", self, ") belongs to the tree of process ",
          job.root, "; start it from outside", kUntouched));
    }
    if (!may_read_limits) CKPT_RETURN_IF_ERROR(CheckOwner(proc, pid));
    CKPT_RETURN_IF_ERROR(CheckFiles(proc, pid));
  }
  CKPT_RETURN_IF_ERROR(CheckPipes(proc, tree, options));
  CKPT_RETURN_IF_ERROR(CheckTasks(proc, tree));
  return CheckOtherFreezers(job, proc, tree);
}

}  // namespace ckpt::checkpoint
