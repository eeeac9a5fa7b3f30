// A kernel with one freezer hierarchy, v1 or v2, and tasks that freeze as told.
//
//   FakeClock clock;
//   FakeKernel kernel(v1::HIERARCHY_V1, clock);
//   const std::unique_ptr<Cgroup> group = kernel.MakeGroup("/job");
//   const pid_t pid = kernel.AddProcess("/job", {.freeze = {.never = true}});
//   Freezer freezer(*group, kernel.proc(), clock);
//   ... Freeze() is Unavailable and names pid ...
//   kernel.Unblock(pid);
//
// What it does as the real one does:
//  - v1: freezer.state is the effective state, computed when it is read; FROZEN
//    falls back to FREEZING when a task is added; a frozen task shows state D
//    and does not die of SIGKILL before it is thawed; a task that cannot be
//    frozen can be once it is killed, and dies then when it is thawed.
//  - v2: cgroup.freeze is the request, cgroup.events the result, cgroup.kill
//    kills the subtree; a frozen task sleeps in get_signal, and can be killed.
//    A group counts as frozen as soon as all groups below it, if any, are.
//  - Both: an ancestor's request freezes, too; an empty group freezes; every
//    call on a removed group is NotFound; the lock is a real flock().
//
// Pids are beyond what Linux gives, so that no call meets a real process.
#ifndef CKPT_FREEZER_FAKE_CGROUP_H_
#define CKPT_FREEZER_FAKE_CGROUP_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/fake_clock.h"
#include "base/fake_proc.h"
#include "base/unique_fd.h"
#include "freezer/cgroup.h"
#include "freezer/kill.h"

namespace ckpt::freezer {

// When a task freezes after it has been asked to: once all hold.
struct FakeFreeze {
  int after_reads = 0;                          // of its group's state file
  absl::Duration after = absl::ZeroDuration();  // since it was first asked
  int after_writes = 0;  // of the request, the first one not counted
  int after_thaws = 0;   // of the group, and being asked again
  bool never = false;    // until Unblock()
};

struct FakeTaskOptions {
  pid_t pid = 0;  // 0: the next free one
  pid_t ppid = 1;
  int threads = 1;
  std::string comm = "fake-task";
  FakeFreeze freeze = {};
  // Forks that it does while it is asked to freeze, one at each read of the
  // group's state; it freezes after them.
  int forks = 0;
  absl::Duration dies_after = absl::ZeroDuration();  // SIGKILL, not frozen
  // What it does when it is not frozen.
  char state = 'S';
  std::string wchan = "do_wait";
};

// Not thread-safe.  Must outlive the groups that it gives.
class FakeKernel : public Signaller {
 public:
  FakeKernel(v1::Hierarchy hierarchy, FakeClock& clock);
  ~FakeKernel() override;

  FakeProcFs& proc() { return proc_; }

  // Paths are those below the mount point: "/job", "/job/inner", "/".
  std::unique_ptr<Cgroup> MakeGroup(const std::string& path);
  std::unique_ptr<Cgroup> OpenGroup(const std::string& path);
  // The group must be empty.
  void RemoveGroup(const std::string& path);

  // Adding to a frozen group freezes the newcomer by its rule.
  pid_t AddProcess(const std::string& path, const FakeTaskOptions& options);
  void Unblock(pid_t pid);
  // Ends a process.  It is a zombie when its parent is one of ours.
  void Kill(pid_t pid);

  // Another process holds the group's checkpoint lock.
  void HoldLock(const std::string& path, pid_t holder);

  // A kernel before 5.14 has no cgroup.kill.
  void set_has_kill_file(bool has) { has_kill_file_ = has; }

  // Signaller: SIGKILL ends the process, others are counted.
  absl::Status Send(pid_t pid, int signal) override;
  int SignalsReceived(pid_t pid, int signal);

  // Every write to a group's file, in order: "/job/freezer.state=FROZEN".
  const std::vector<std::string>& writes() const { return writes_; }

 private:
  friend class FakeCgroup;

  struct Group {
    std::string path;  // "" for the root
    Group* parent = nullptr;
    uint64_t id = 1;
    bool removed = false;
    bool self_request = false;
    bool v1_frozen = false;  // seen FROZEN; v1's lazy state
    UniqueFd lock_file;      // a file to flock()
    UniqueFd held_lock;      // by HoldLock()
    pid_t lock_holder = 0;   // who took the lock last
  };

  struct Task {
    Group* group = nullptr;
    FakeFreeze rule;
    int forks_left = 0;
    char state = 'S';
    std::string wchan;
    bool asked = false;                     // to freeze
    std::optional<absl::Time> first_asked;  // since it was last frozen
    int reads = 0;
    int writes = 0;
    int thaws = 0;
    bool frozen = false;
    bool killed = false;
    absl::Duration dies_after;
    std::optional<absl::Time> dying;  // since when it can
  };

  // A descriptor that was opened for writing: the read end of its pipe.
  struct Writer {
    Group* group;
    std::string file;
    UniqueFd pipe;
  };

  Group& Find(const std::string& path);
  bool IsAsked(const Group& group) const;
  static bool IsWithin(const Group* group, const Group& ancestor);
  bool AllFrozen(const Group& group) const;  // and all below it
  // There are groups below it, and all are frozen.
  bool AllBelowFrozen(const Group& group) const;
  bool CanFreeze(const Task& task) const;
  // When the next task freezes by itself.
  absl::Time NextChange() const;

  // Brings every task to the state that it has by now.
  void Update();
  void UpdateTask(pid_t tid, Task& task);
  void CountRead(const Group& group);
  void RunForks(pid_t tid);

  absl::StatusOr<std::string> Read(Group& group, const std::string& file);
  absl::Status Write(Group& group, const std::string& file,
                     absl::string_view data);
  absl::Status RequestFreeze(Group& group, bool freeze);
  absl::Status Move(pid_t pid, Group& group);
  static void MoveThread(Task& task, Group& group);
  std::string ReadV1State(Group& group);
  std::string ListPids(const Group& group, bool threads) const;
  void KillNow(pid_t pid);
  absl::StatusOr<UniqueFd> OpenLockFile(const Group& group) const;

  const v1::Hierarchy hierarchy_;
  FakeClock& clock_;
  FakeProcFs proc_;
  bool has_kill_file_ = true;
  pid_t next_pid_;
  std::vector<std::unique_ptr<Group>> groups_;  // each after its parent
  std::map<pid_t, Task> tasks_;                 // by tid; no zombies
  std::map<std::pair<pid_t, int>, int> signals_;
  std::vector<std::string> writes_;
  std::vector<Writer> writers_;
};

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_FAKE_CGROUP_H_
