// The tasks of a fake kernel, and the files of its groups.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "freezer/fake_cgroup.h"
#include "freezer/kernel_names.h"

namespace ckpt::freezer {
namespace {

// Linux gives no pid from PID_MAX_LIMIT (4,194,304) on.
constexpr pid_t kFirstPid = 5'000'001;

constexpr char kV1ParentFile[] = "freezer.parent_freezing";

}  // namespace

FakeKernel::FakeKernel(v1::Hierarchy hierarchy, FakeClock& clock)
    : hierarchy_(hierarchy), clock_(clock), next_pid_(kFirstPid) {
  groups_.push_back(std::make_unique<Group>());
  proc_.before_look = [this] { Update(); };
}

FakeKernel::~FakeKernel() = default;

void FakeKernel::RemoveGroup(const std::string& path) {
  Find(path).removed = true;
}

FakeKernel::Group& FakeKernel::Find(const std::string& path) {
  for (const auto& group : groups_) {
    if (!group->removed && group->path == (path == "/" ? "" : path)) {
      return *group;
    }
  }
  std::abort();  // a mistake of the test
}

pid_t FakeKernel::AddProcess(const std::string& path,
                             const FakeTaskOptions& options) {
  const pid_t pid = options.pid != 0 ? options.pid : next_pid_++;
  Group& group = Find(path);
  Task task;
  task.group = &group;
  task.rule = options.freeze;
  task.forks_left = options.forks;
  task.dies_after = options.dies_after;
  task.state = options.state;
  task.wchan = options.wchan;
  proc_.AddProcess(pid, options.ppid, options.comm);
  tasks_[pid] = task;
  for (int i = 1; i < options.threads; ++i) {
    const pid_t tid = next_pid_++;
    proc_.AddThread(tid, pid);
    tasks_[tid] = task;
  }
  (void)Move(pid, group);
  return pid;
}

void FakeKernel::Unblock(pid_t pid) {
  for (auto& [tid, task] : tasks_) {
    if (proc_.Find(tid)->stat.pid == pid) task.rule.never = false;
  }
}

void FakeKernel::Kill(pid_t pid) {
  if (tasks_.count(pid) == 0) return;
  tasks_.at(pid).killed = true;
  Update();
}

absl::Status FakeKernel::Send(pid_t pid, int signal) {
  Update();
  if (tasks_.count(pid) == 0) {
    return absl::NotFoundError(
        absl::StrCat("signal process ", pid, ": No such process"));
  }
  ++signals_[{pid, signal}];
  if (signal == SIGKILL) Kill(pid);
  return absl::OkStatus();
}

int FakeKernel::SignalsReceived(pid_t pid, int signal) {
  const auto found = signals_.find({pid, signal});
  return found == signals_.end() ? 0 : found->second;
}

bool FakeKernel::IsAsked(const Group& group) const {
  for (const Group* each = &group; each != nullptr; each = each->parent) {
    if (each->self_request) return true;
  }
  return false;
}

bool FakeKernel::IsWithin(const Group* group, const Group& ancestor) {
  while (group != nullptr && group != &ancestor) group = group->parent;
  return group != nullptr;
}

bool FakeKernel::AllFrozen(const Group& group) const {
  return std::all_of(tasks_.begin(), tasks_.end(), [&](const auto& entry) {
    return entry.second.frozen || !IsWithin(entry.second.group, group);
  });
}

bool FakeKernel::AllBelowFrozen(const Group& group) const {
  bool any = false;
  for (const auto& each : groups_) {
    if (each->parent != &group || each->removed) continue;
    if (!AllFrozen(*each) && !AllBelowFrozen(*each)) return false;
    any = true;
  }
  return any;
}

bool FakeKernel::CanFreeze(const Task& task) const {
  const FakeFreeze& rule = task.rule;
  return !rule.never && task.forks_left == 0 &&
         task.reads >= rule.after_reads && task.writes >= rule.after_writes &&
         task.thaws >= rule.after_thaws &&
         clock_.Now() - *task.first_asked >= rule.after;
}

absl::Time FakeKernel::NextChange() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [tid, task] : tasks_) {
    if (!task.asked || task.frozen || task.rule.never) continue;
    const absl::Time change = *task.first_asked + task.rule.after;
    if (change > clock_.Now()) next = std::min(next, change);
  }
  return next;
}

void FakeKernel::Update() {
  for (const Writer& writer : writers_) {
    char data[PIPE_BUF];
    ssize_t count;
    while ((count = ::read(writer.pipe.get(), data, sizeof data)) > 0) {
      (void)Write(*writer.group, writer.file, {data, size_t(count)});
    }
  }
  std::vector<pid_t> dying;
  for (auto& [tid, task] : tasks_) {
    UpdateTask(tid, task);
    // A task in v1's refrigerator does not see the signal.
    if (task.killed && task.frozen && hierarchy_ == v1::HIERARCHY_V1) {
      task.dying.reset();
    } else if (task.killed) {
      if (!task.dying.has_value()) task.dying = clock_.Now();
      if (clock_.Now() - *task.dying >= task.dies_after) dying.push_back(tid);
    }
  }
  for (const pid_t pid : dying) KillNow(pid);
}

void FakeKernel::UpdateTask(pid_t tid, Task& task) {
  if (!IsAsked(*task.group)) {
    if (task.frozen) {
      task.reads = task.writes = task.thaws = 0;
      task.first_asked.reset();
    } else if (task.asked) {
      ++task.thaws;
    }
    task.frozen = task.asked = false;
  } else {
    task.asked = true;
    // What blocks can be killed, and v1 freezes it before it dies.
    if (task.killed && hierarchy_ == v1::HIERARCHY_V1) task.rule.never = false;
    if (!task.first_asked.has_value()) task.first_asked = clock_.Now();
    task.frozen = task.frozen || CanFreeze(task);
  }
  FakeTask& seen = *proc_.Find(tid);
  const bool is_v1 = hierarchy_ == v1::HIERARCHY_V1;
  seen.stat.state = !task.frozen ? task.state : is_v1 ? 'D' : 'S';
  seen.files["wchan"] = !task.frozen ? task.wchan
                        : is_v1      ? "__refrigerator"
                                     : "get_signal";
  seen.files["cgroup"] =
      absl::StrCat(is_v1 ? "6:freezer:" : "0::",
                   task.group->path.empty() ? "/" : task.group->path, "\n");
}

void FakeKernel::CountRead(const Group& group) {
  std::vector<pid_t> forking;
  for (auto& [tid, task] : tasks_) {
    if (task.frozen || !task.asked || !IsWithin(task.group, group)) {
      continue;
    }
    ++task.reads;
    if (task.forks_left > 0) forking.push_back(tid);
  }
  for (const pid_t tid : forking) {
    --tasks_.at(tid).forks_left;
    const Group& home = *tasks_.at(tid).group;
    AddProcess(home.path, {.ppid = proc_.Find(tid)->stat.pid});
  }
}

absl::StatusOr<std::string> FakeKernel::Read(Group& group,
                                             const std::string& file) {
  Update();
  const bool is_v1 = hierarchy_ == v1::HIERARCHY_V1;
  if (file == kProcsFile) return ListPids(group, /*threads=*/false);
  if (file == (is_v1 ? kV1TasksFile : kV2ThreadsFile)) {
    return ListPids(group, /*threads=*/true);
  }
  if (group.parent == nullptr) {  // the root has no freezer
    return absl::NotFoundError(
        absl::StrCat("open ", file, ": No such file or directory"));
  }
  std::string text;
  if (file == (is_v1 ? kV1SelfFile : kV2FreezeFile)) {
    return std::string(group.self_request ? "1\n" : "0\n");
  }
  if (is_v1 && file == kV1ParentFile) {
    return std::string(IsAsked(*group.parent) ? "1\n" : "0\n");
  }
  if (is_v1 && file == kV1StateFile) {
    text = ReadV1State(group);
  } else if (!is_v1 && file == kV2EventsFile) {
    const bool frozen =
        IsAsked(group) && (AllFrozen(group) || AllBelowFrozen(group));
    const bool populated = std::any_of(
        tasks_.begin(), tasks_.end(),
        [&](const auto& entry) { return IsWithin(entry.second.group, group); });
    text = absl::StrCat("populated ", populated ? 1 : 0, "\nfrozen ",
                        frozen ? 1 : 0, "\n");
  } else {
    return absl::NotFoundError(
        absl::StrCat("open ", file, ": No such file or directory"));
  }
  CountRead(group);
  return text;
}

std::string FakeKernel::ReadV1State(Group& group) {
  if (!IsAsked(group)) return absl::StrCat(kV1Thawed, "\n");
  if (!group.v1_frozen) group.v1_frozen = AllFrozen(group);
  return absl::StrCat(group.v1_frozen ? kV1Frozen : kV1Freezing, "\n");
}

std::string FakeKernel::ListPids(const Group& group, bool threads) const {
  std::string text;
  for (const auto& [tid, task] : tasks_) {
    const bool is_leader = proc_.Find(tid)->stat.pid == tid;
    if (task.group == &group && (threads || is_leader)) {
      absl::StrAppend(&text, tid, "\n");
    }
  }
  return text;
}

absl::Status FakeKernel::Write(Group& group, const std::string& file,
                               absl::string_view data) {
  Update();
  writes_.push_back(absl::StrCat(group.path, "/", file, "=", data));
  auto invalid = absl::InvalidArgumentError(
      absl::StrCat("write '", data, "' to ", file, ": Invalid argument"));
  const bool is_v1 = hierarchy_ == v1::HIERARCHY_V1;
  const bool has_freezer = group.parent != nullptr;  // the root has none
  absl::Status status;
  if (file == kProcsFile) {
    pid_t pid;
    if (!absl::SimpleAtoi(data, &pid)) return invalid;
    status = Move(pid == 0 ? ::getpid() : pid, group);
  } else if (is_v1 && file == kV1TasksFile) {
    pid_t tid;
    if (!absl::SimpleAtoi(data, &tid) || tasks_.count(tid) == 0) return invalid;
    MoveThread(tasks_.at(tid), group);
  } else if (has_freezer && is_v1 && file == kV1StateFile) {
    if (data != kV1Frozen && data != kV1Thawed) return invalid;
    status = RequestFreeze(group, data == kV1Frozen);
  } else if (has_freezer && !is_v1 && file == kV2FreezeFile) {
    if (data != kV2Freeze && data != kV2Thaw) return invalid;
    status = RequestFreeze(group, data == kV2Freeze);
  } else if (has_freezer && has_kill_file_ && !is_v1 && file == kV2KillFile) {
    if (data != "1") return invalid;
    for (auto& [tid, task] : tasks_) {
      if (IsWithin(task.group, group)) task.killed = true;
    }
  } else {
    status = absl::NotFoundError(
        absl::StrCat("open ", file, ": No such file or directory"));
  }
  Update();
  return status;
}

absl::Status FakeKernel::RequestFreeze(Group& group, bool freeze) {
  group.self_request = freeze;
  for (const auto& each : groups_) {
    if (!IsAsked(*each)) each->v1_frozen = false;
  }
  for (auto& [tid, task] : tasks_) {
    if (freeze && task.asked && IsWithin(task.group, group)) {
      ++task.writes;
    }
  }
  return absl::OkStatus();
}

absl::Status FakeKernel::Move(pid_t pid, Group& group) {
  if (proc_.Find(pid) == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("write '", pid, "' to ", kProcsFile, ": No such process"));
  }
  for (auto& [tid, task] : tasks_) {
    if (proc_.Find(tid)->stat.pid == pid) MoveThread(task, group);
  }
  Update();
  return absl::OkStatus();
}

void FakeKernel::MoveThread(Task& task, Group& group) {
  task.group = &group;
  task.frozen = false;
  task.asked = false;
  task.first_asked.reset();
  // v1 falls back to FREEZING, the ancestors too.
  for (Group* each = &group; each != nullptr; each = each->parent) {
    each->v1_frozen = false;
  }
}

void FakeKernel::KillNow(pid_t pid) {
  FakeTask* leader = proc_.Find(pid);
  if (leader == nullptr || leader->stat.pid != pid) return;  // a thread
  const bool has_parent = tasks_.count(leader->stat.ppid) > 0;
  for (auto task = tasks_.begin(); task != tasks_.end();) {
    const bool goes = proc_.Find(task->first)->stat.pid == pid;
    task = goes ? tasks_.erase(task) : std::next(task);
  }
  has_parent ? proc_.BecomeZombie(pid) : proc_.Remove(pid);
}

}  // namespace ckpt::freezer
