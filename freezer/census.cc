#include "freezer/census.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ckpt::freezer {
namespace {

constexpr int kRounds = 10;

using KnownTasks = std::unordered_map<pid_t, TaskId>;

bool IsEnded(const ThreadStat& stat) {
  return stat.state == 'Z' || stat.state == 'X';
}

TaskId IdOf(const ThreadStat& stat) {
  return {stat.tid, stat.pid, stat.start_ticks};
}

std::string NameOf(const Cgroup& group) {
  return group.path().substr(group.path().rfind('/') + 1);
}

// Adds `group` and what is below it.  A group below may vanish meanwhile.
absl::Status AddGroups(Cgroup& group, const std::string& path, ProcFs& proc,
                       pid_t except, const KnownTasks& known, Census& census) {
  GroupTasks members;
  members.path = path;
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> threads, group.Threads());
  for (const pid_t tid : threads) {
    TaskId id;
    if (const auto found = known.find(tid); found != known.end()) {
      id = found->second;
    } else if (const auto stat = proc.Stat(tid); stat.ok()) {
      id = IdOf(*stat);
    } else {
      id.tid = tid;  // gone meanwhile: the next round will differ
    }
    if (except != 0 && id.pid == except) continue;
    members.tasks.push_back(id);
  }
  std::sort(members.tasks.begin(), members.tasks.end());
  if (path.empty() || !members.tasks.empty()) {
    census.groups.push_back(std::move(members));
  }
  CKPT_ASSIGN_OR_RETURN(const auto children, group.Children());
  for (const auto& child : children) {
    const std::string name = NameOf(*child);
    absl::Status added =
        AddGroups(*child, path.empty() ? name : absl::StrCat(path, "/", name),
                  proc, except, known, census);
    if (!added.ok() && !absl::IsNotFound(added)) return added;
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<TaskId> Census::Members(bool subtree) const {
  std::vector<TaskId> all = groups.front().tasks;
  if (!subtree) return all;
  for (size_t i = 1; i < groups.size(); ++i) {
    all.insert(all.end(), groups[i].tasks.begin(), groups[i].tasks.end());
  }
  std::sort(all.begin(), all.end());
  return all;
}

std::vector<pid_t> Census::TreeProcesses() const {
  std::vector<pid_t> pids;
  pids.reserve(tree.size());
  for (const TaskId& task : tree) pids.push_back(task.pid);
  std::sort(pids.begin(), pids.end());
  pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
  return pids;
}

absl::StatusOr<Census> TakeCensus(Cgroup& group, ProcFs& proc,
                                  const TreeOptions& options) {
  Census census;
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> pids,
                        ProcessTree(proc, options.root));
  if (options.except != 0 &&
      std::find(pids.begin(), pids.end(), options.except) == pids.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("process ", DescribeTask(proc, options.except),
                     ", the exception, does not belong to the tree of process ",
                     DescribeTask(proc, options.root)));
  }
  KnownTasks known;
  for (const pid_t pid : pids) {
    const auto threads = proc.ThreadStats(pid);
    if (!threads.ok()) {  // gone meanwhile: the next round will differ
      census.tree.push_back({.tid = pid});
      continue;
    }
    for (const ThreadStat& stat : *threads) {
      if (IsEnded(stat)) continue;
      known[stat.tid] = IdOf(stat);
      if (pid != options.except) census.tree.push_back(IdOf(stat));
    }
  }
  std::sort(census.tree.begin(), census.tree.end());
  CKPT_RETURN_IF_ERROR(
      AddGroups(group, "", proc, options.except, known, census));
  std::sort(census.groups.begin() + 1, census.groups.end(),
            [](const GroupTasks& one, const GroupTasks& other) {
              return one.path < other.path;
            });
  return census;
}

absl::StatusOr<Census> TakeStableCensus(Cgroup& group, ProcFs& proc,
                                        const TreeOptions& options,
                                        bool& stable) {
  CKPT_ASSIGN_OR_RETURN(Census census, TakeCensus(group, proc, options));
  stable = false;
  for (int round = 0; !stable && round < kRounds; ++round) {
    CKPT_ASSIGN_OR_RETURN(Census again, TakeCensus(group, proc, options));
    stable = again == census;
    census = std::move(again);
  }
  return census;
}

}  // namespace ckpt::freezer
