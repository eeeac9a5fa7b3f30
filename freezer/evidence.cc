#include "freezer/evidence.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

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

void AddDetails(ProcFs& proc, v1::TaskInfo& task) {
  task.set_syscall(ReadLine(proc, task.tid(), "syscall"));
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

// Frozen as far as state and wchan tell.
bool LooksFrozen(v1::Hierarchy hierarchy, const v1::TaskInfo& task) {
  if (hierarchy == v1::HIERARCHY_V1) return task.state() == "D";
  if (task.state() == "T" || task.state() == "t") return true;
  if (task.state() == "D" && task.wchan() == "kernel_clone") return true;
  return task.state() == "S" &&
         (task.wchan() == "get_signal" || task.wchan() == "do_freezer_trap");
}

std::vector<v1::TaskInfo> Look(Cgroup& group, ProcFs& proc) {
  std::vector<v1::TaskInfo> tasks;
  const auto threads = group.Threads();
  if (!threads.ok()) return tasks;
  for (const pid_t tid : *threads) {
    auto task = DescribeThread(proc, tid);
    if (!task.ok() || IsEnded(*task)) continue;
    task->set_wchan(ReadLine(proc, tid, "wchan"));
    tasks.push_back(*std::move(task));
  }
  return tasks;
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

std::vector<v1::TaskInfo> FindBlockers(Cgroup& group, ProcFs& proc) {
  const std::vector<v1::TaskInfo> first = Look(group, proc);
  std::vector<v1::TaskInfo> second = Look(group, proc);
  std::vector<v1::TaskInfo> blockers;
  for (v1::TaskInfo& task : second) {
    const bool seen_before = std::any_of(
        first.begin(), first.end(), [&](const v1::TaskInfo& earlier) {
          return earlier.tid() == task.tid() &&
                 !LooksFrozen(group.hierarchy(), earlier);
        });
    if (seen_before && !LooksFrozen(group.hierarchy(), task)) {
      blockers.push_back(task);
    }
  }
  if (blockers.empty() && group.hierarchy() == v1::HIERARCHY_V1) {
    // All show D: one of them waits where the freezer cannot reach it.
    for (v1::TaskInfo& task : second) {
      if (!IsFreezableWait(task.wchan())) blockers.push_back(std::move(task));
    }
  }
  for (v1::TaskInfo& task : blockers) AddDetails(proc, task);
  return blockers;
}

}  // namespace ckpt::freezer
