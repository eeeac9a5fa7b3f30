#include "freezer/evidence.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "base/syscall_name.h"
#include "freezer/backend.h"

namespace ckpt::freezer {
namespace {

constexpr size_t kStackLines = 8;

// Where a thread that v1 has frozen may be: the freezer itself, and the waits
// that the kernel marks TASK_FREEZABLE and does not wake for it.  As wchan
// names them in Linux 6.18 (measured), and the older names.
constexpr absl::string_view kFreezableWaits[] = {
    "__refrigerator",   "refrigerator",          "do_nanosleep",
    "do_signal_stop",   "do_sigtimedwait",       "futex_do_wait",
    "futex_wait_queue", "futex_wait_queue_me",   "hrtimer_nanosleep",
    "kernel_clone",  // in a vfork()
    "ptrace_stop",      "unix_stream_data_wait", "unix_stream_read_generic",
};

bool IsEnded(const v1::TaskInfo& task) {
  return task.state() == "Z" || task.state() == "X";
}

std::string ReadLine(ProcFs& proc, pid_t tid, const std::string& name) {
  const auto text = proc.Read(tid, name);
  if (!text.ok()) return "";
  std::string line(absl::StripAsciiWhitespace(*text));
  return line == "0" ? "" : line;  // wchan of a running thread
}

// When the thread last got a CPU, on the scheduler's clock.
std::optional<absl::Duration> LastRan(ProcFs& proc, pid_t tid) {
  const auto text = proc.Read(tid, "sched");
  if (!text.ok()) return std::nullopt;
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::pair<absl::string_view, absl::string_view> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    double milliseconds;
    if (absl::StripAsciiWhitespace(fields.first) == "se.exec_start" &&
        absl::SimpleAtod(fields.second, &milliseconds)) {
      return absl::Milliseconds(milliseconds);
    }
  }
  return std::nullopt;
}

// By comparison with the caller, who runs now: the clock is no other one's.
double AsleepSeconds(ProcFs& proc, const v1::TaskInfo& task) {
  if (task.state() == "R") return 0;
  const auto ran = LastRan(proc, task.tid());
  const auto now = LastRan(proc, ::gettid());
  if (!ran.has_value() || !now.has_value()) return 0;
  return std::max(0.0, absl::ToDoubleSeconds(*now - *ran));
}

void AddDetails(ProcFs& proc, v1::TaskInfo& task) {
  task.set_syscall(ReadLine(proc, task.tid(), "syscall"));
  task.set_syscall_name(SyscallNameIn(task.syscall()));
  task.set_asleep_seconds(AsleepSeconds(proc, task));
  const auto stack = proc.Read(task.tid(), "stack");
  if (!stack.ok()) return;
  for (const absl::string_view line :
       absl::StrSplit(*stack, '\n', absl::SkipEmpty())) {
    if (task.stack_size() == kStackLines) break;
    task.add_stack(std::string(line));
  }
}

bool IsFreezableWait(absl::string_view wchan) {
  // "do_sigtimedwait.isra.0": the compiler's own copy.
  wchan = wchan.substr(0, wchan.find('.'));
  return std::find(std::begin(kFreezableWaits), std::end(kFreezableWaits),
                   wchan) != std::end(kFreezableWaits);
}

bool IsFreezerWait(absl::string_view wchan) {
  return wchan == "get_signal" || wchan == "do_freezer_trap";
}

// Frozen as far as state and wchan tell.
bool LooksFrozen(v1::Hierarchy hierarchy, const v1::TaskInfo& task) {
  if (hierarchy == v1::HIERARCHY_V1) return task.state() == "D";
  if (task.state() == "T" || task.state() == "t") return true;
  if (task.state() == "D" && task.wchan() == "kernel_clone") return true;
  return task.state() == "S" && IsFreezerWait(task.wchan());
}

// A thread that may not be frozen, with its wchan; none when it is frozen or
// has ended.
std::optional<v1::TaskInfo> Unfrozen(v1::Hierarchy hierarchy, ProcFs& proc,
                                     pid_t tid) {
  const std::string wchan = ReadLine(proc, tid, "wchan");
  // Most threads of a v2 group: nothing more to read.
  if (hierarchy == v1::HIERARCHY_V2 && IsFreezerWait(wchan)) {
    return std::nullopt;
  }
  auto task = DescribeThread(proc, tid);
  if (!task.ok() || IsEnded(*task)) return std::nullopt;
  task->set_wchan(wchan);
  if (!LooksFrozen(hierarchy, *task)) return *std::move(task);
  const bool doubtful =
      hierarchy == v1::HIERARCHY_V1 && !IsFreezableWait(wchan);
  task->set_frozen(true);
  return doubtful ? std::make_optional(*std::move(task)) : std::nullopt;
}

// As `frozen` of a thread in a group in `state` is reported.
bool IsFrozenIn(v1::FreezerState state, v1::Hierarchy hierarchy,
                const v1::TaskInfo& task) {
  if (state == v1::FREEZER_STATE_THAWED) return false;
  if (state == v1::FREEZER_STATE_FROZEN && task.wchan().empty()) {
    return true;  // the kernel tells who is not root the state, but no wchan
  }
  // D alone tells little while some thread is not frozen yet.
  const bool doubtful = state == v1::FREEZER_STATE_FREEZING &&
                        hierarchy == v1::HIERARCHY_V1 &&
                        !IsFreezableWait(task.wchan());
  return LooksFrozen(hierarchy, task) && !doubtful;
}

// Those of one group, and by recursion of those below.
void AddTasks(Cgroup& group, ProcFs& proc, v1::FreezerState state, bool below,
              std::vector<v1::TaskInfo>& tasks) {
  const auto threads = group.Threads();
  if (!threads.ok()) return;
  for (const pid_t tid : *threads) {
    auto task = DescribeThread(proc, tid);
    if (!task.ok()) continue;
    task->set_wchan(ReadLine(proc, tid, "wchan"));
    task->set_frozen(IsFrozenIn(state, group.hierarchy(), *task));
    if (below) task->set_cgroup(group.path());
    tasks.push_back(*std::move(task));
  }
  const auto children = group.Children();
  if (!children.ok()) return;
  for (const auto& child : *children) {
    const auto files = MakeBackend(*child)->Read();
    if (!files.ok()) continue;  // removed meanwhile
    v1::FreezerState inner = files->effective;
    if (inner == v1::FREEZER_STATE_THAWED &&
        state != v1::FREEZER_STATE_THAWED) {
      inner = v1::FREEZER_STATE_FREEZING;  // by `group`, and not yet
    }
    AddTasks(*child, proc, inner, /*below=*/true, tasks);
  }
}

}  // namespace

absl::StatusOr<v1::TaskInfo> DescribeThread(ProcFs& proc, pid_t tid) {
  CKPT_ASSIGN_OR_RETURN(const ThreadStat stat, proc.Stat(tid));
  v1::TaskInfo task;
  task.set_tid(tid);
  task.set_pid(stat.pid);
  task.set_comm(stat.comm);
  task.set_state(std::string(1, stat.state));
  return task;
}

std::vector<v1::TaskInfo> DescribeTasks(Cgroup& group, ProcFs& proc,
                                        v1::FreezerState state) {
  std::vector<v1::TaskInfo> tasks;
  AddTasks(group, proc, state, /*below=*/false, tasks);
  return tasks;
}

bool OwnThreadsLookFrozen(Cgroup& group, ProcFs& proc, UntoldWait untold) {
  const auto threads = group.Threads();
  if (!threads.ok()) return true;  // removed meanwhile
  return std::none_of(threads->begin(), threads->end(), [&](pid_t tid) {
    const auto task = Unfrozen(group.hierarchy(), proc, tid);
    if (!task.has_value()) return false;
    const bool is_told = task->state() != "S" || !task->wchan().empty();
    return is_told || untold == UntoldWait::kIsNotFrozen;
  });
}

std::map<pid_t, BlockerWatch::Suspect> BlockerWatch::LookAt(Cgroup& group,
                                                            bool below) {
  std::map<pid_t, Suspect> seen;
  const auto threads = group.Threads();
  if (!threads.ok()) return seen;
  for (const pid_t tid : *threads) {
    const auto task = Unfrozen(group.hierarchy(), proc_, tid);
    if (!task.has_value()) continue;
    const auto earlier = suspects_.find(tid);
    seen[tid] = {
        earlier == suspects_.end() ? clock_.Now() : earlier->second.since,
        !task->frozen(), below ? group.path() : ""};
  }
  const auto children = group.Children();
  if (!children.ok()) return seen;
  for (const auto& child : *children) {
    seen.merge(LookAt(*child, /*below=*/true));
  }
  return seen;
}

void BlockerWatch::Look() { suspects_ = LookAt(group_, /*below=*/false); }

std::vector<v1::TaskInfo> BlockerWatch::FindBlockers() {
  Look();
  const std::map<pid_t, Suspect> first = suspects_;
  Look();
  const auto is_certain = [&](const auto& entry) {
    const auto earlier = first.find(entry.first);
    return entry.second.certain && earlier != first.end() &&
           earlier->second.certain;
  };
  const bool any = std::any_of(suspects_.begin(), suspects_.end(), is_certain);
  std::vector<v1::TaskInfo> blockers;
  for (const auto& entry : suspects_) {
    const auto& [tid, suspect] = entry;
    // v1, when all show D: one of them waits where the freezer cannot reach it.
    if (any ? !is_certain(entry) : suspect.certain) continue;
    auto task = DescribeThread(proc_, tid);
    if (!task.ok()) continue;
    task->set_wchan(ReadLine(proc_, tid, "wchan"));
    task->set_cgroup(suspect.cgroup);
    task->set_blocked_seconds(
        absl::ToDoubleSeconds(clock_.Now() - suspect.since));
    AddDetails(proc_, *task);
    blockers.push_back(*std::move(task));
  }
  return blockers;
}

std::vector<v1::TaskInfo> FindBlockers(Cgroup& group, ProcFs& proc) {
  return BlockerWatch(group, proc, Clock::Real()).FindBlockers();
}

}  // namespace ckpt::freezer
