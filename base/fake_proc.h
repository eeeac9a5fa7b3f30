// A table of tasks that answers as /proc does.
//
//   FakeProcFs proc;
//   proc.AddProcess(100, 1, "job");
//   proc.AddThread(101, 100);
//   proc.Find(101)->files["wchan"] = "futex_do_wait";
//   proc.BecomeZombie(100);
//
// Not thread-safe.
#ifndef CKPT_BASE_FAKE_PROC_H_
#define CKPT_BASE_FAKE_PROC_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/proc.h"

namespace ckpt {

// One thread.  What is set here is what a look at it gives.
struct FakeTask {
  ThreadStat stat;
  std::map<std::string, std::string, std::less<>> status;  // fields of "status"
  std::map<std::string, std::string, std::less<>> files;   // "wchan", ...
  std::vector<OpenFile> open_files;  // of a process's leader
};

class FakeProcFs : public ProcFs {
 public:
  // Called before every look: what has happened in the fake world by now.
  std::function<void()> before_look;

  // A process with one thread, leader of a group and a session of its own.
  FakeTask& AddProcess(pid_t pid, pid_t ppid, const std::string& comm) {
    FakeTask task;
    task.stat.tid = task.stat.pid = task.stat.pgid = task.stat.sid = pid;
    task.stat.ppid = ppid;
    task.stat.comm = comm;
    task.stat.state = 'S';
    task.status["TracerPid"] = "0";
    return tasks_[pid] = task;
  }

  // One more thread of `pid`, which must exist.
  FakeTask& AddThread(pid_t tid, pid_t pid) {
    FakeTask task = tasks_.at(pid);
    task.stat.tid = tid;
    return tasks_[tid] = task;
  }

  // Ended, and waiting for its parent: the leader is left, with its number.
  void BecomeZombie(pid_t pid) {
    RemoveTasks(pid, /*but=*/pid);
    FakeTask& task = tasks_.at(pid);
    task.stat.state = 'Z';
    task.files.clear();
    task.open_files.clear();
    OrphanChildren(pid);
  }

  // Ended and reaped.
  void Remove(pid_t pid) {
    RemoveTasks(pid, /*but=*/0);
    OrphanChildren(pid);
  }

  // Null when there is none.  Valid until it is removed.
  FakeTask* Find(pid_t tid) {
    const auto found = tasks_.find(tid);
    return found == tasks_.end() ? nullptr : &found->second;
  }
  const FakeTask* Find(pid_t tid) const {
    return const_cast<FakeProcFs*>(this)->Find(tid);
  }

  absl::StatusOr<ThreadStat> Stat(pid_t tid) override {
    FakeTask* task = Look(tid);
    if (task == nullptr) return Gone(tid);
    return task->stat;
  }

  absl::StatusOr<std::vector<pid_t>> Threads(pid_t pid) override {
    if (Look(pid) == nullptr) return Gone(pid);
    std::vector<pid_t> threads;
    for (const auto& [tid, task] : tasks_) {
      if (task.stat.pid == pid) threads.push_back(tid);
    }
    return threads;
  }

  absl::StatusOr<std::vector<pid_t>> Children(pid_t pid) override {
    if (Look(pid) == nullptr) return Gone(pid);
    std::vector<pid_t> children;
    for (const auto& [tid, task] : tasks_) {
      if (task.stat.pid == tid && task.stat.ppid == pid) {
        children.push_back(tid);
      }
    }
    return children;
  }

  absl::StatusOr<std::vector<pid_t>> Processes() override {
    Look(0);
    std::vector<pid_t> pids;
    for (const auto& [tid, task] : tasks_) {
      if (task.stat.pid == tid) pids.push_back(tid);
    }
    return pids;
  }

  absl::StatusOr<std::string> StatusField(pid_t tid,
                                          absl::string_view key) override {
    FakeTask* task = Look(tid);
    if (task == nullptr) return Gone(tid);
    const auto found = task->status.find(key);
    return found == task->status.end() ? std::string() : found->second;
  }

  absl::StatusOr<std::string> Read(pid_t tid,
                                   const std::string& name) override {
    FakeTask* task = Look(tid);
    if (task == nullptr) return Gone(tid);
    const auto found = task->files.find(name);
    return found == task->files.end() ? std::string() : found->second;
  }

  absl::StatusOr<std::vector<OpenFile>> OpenFiles(pid_t pid) override {
    FakeTask* task = Look(pid);
    if (task == nullptr) return Gone(pid);
    return task->open_files;
  }

 private:
  FakeTask* Look(pid_t tid) {
    if (before_look) before_look();
    return Find(tid);
  }

  static absl::Status Gone(pid_t tid) {
    return absl::NotFoundError(
        absl::StrCat("open /proc/", tid, ": No such file or directory"));
  }

  void RemoveTasks(pid_t pid, pid_t but) {
    for (auto task = tasks_.begin(); task != tasks_.end();) {
      const bool goes = task->second.stat.pid == pid && task->first != but;
      task = goes ? tasks_.erase(task) : std::next(task);
    }
  }

  void OrphanChildren(pid_t pid) {
    for (auto& [tid, task] : tasks_) {
      if (task.stat.ppid == pid) task.stat.ppid = 1;
    }
  }

  std::map<pid_t, FakeTask> tasks_;  // by tid
};

}  // namespace ckpt

#endif  // CKPT_BASE_FAKE_PROC_H_
