#include "agent/migration_tasks.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/proc.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace ckpt::agent {
namespace {

void Kill(const v1::MigrationTask& task) {
  const UniqueFd pidfd(
      static_cast<int>(::syscall(SYS_pidfd_open, task.pid(), 0)));
  // Held on to, it can be no other's any more.
  if (!pidfd.ok() || !IsAlive(task)) return;
  (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
}

}  // namespace

bool IsAlive(const v1::MigrationTask& task) {
  const auto stat = ProcFs::Real().Stat(task.pid());
  return stat.ok() && stat->start_ticks == task.start_ticks() &&
         stat->state != 'Z' && stat->state != 'X';
}

absl::StatusOr<std::vector<v1::MigrationTask>> TasksIn(freezer::Cgroup& group) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> pids,
                        group.SubtreeProcesses());
  std::vector<v1::MigrationTask> tasks;
  for (const pid_t pid : pids) {
    const auto stat = ProcFs::Real().Stat(pid);
    if (!stat.ok()) continue;
    v1::MigrationTask& task = tasks.emplace_back();
    task.set_pid(pid);
    task.set_start_ticks(stat->start_ticks);
  }
  return tasks;
}

bool AnyIsAlive(const MigrationTasks& tasks) {
  return std::any_of(tasks.begin(), tasks.end(), &IsAlive);
}

void KillTasks(const MigrationTasks& tasks) {
  for (const v1::MigrationTask& task : tasks) Kill(task);
}

}  // namespace ckpt::agent
