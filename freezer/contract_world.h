// What the contract suite runs against: a kernel with groups and tasks, faked
// or real.
//
//   INSTANTIATE_TEST_SUITE_P(Worlds, MyTest, testing::ValuesIn(Worlds()), ...);
//
// The suite is linked with fake_world.cc in one test and with kernel_world.cc
// in another; each defines Worlds() and BlockedWorlds().
#ifndef CKPT_FREEZER_CONTRACT_WORLD_H_
#define CKPT_FREEZER_CONTRACT_WORLD_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/proc.h"
#include "freezer/cgroup.h"
#include "freezer/kill.h"

namespace ckpt::freezer {

// Mistakes and failures of set-up end the test program.  Not thread-safe but
// where said.  What it makes, its destructor ends and removes.
class World {
 public:
  virtual ~World() = default;

  virtual v1::Hierarchy hierarchy() const = 0;
  virtual ProcFs& proc() = 0;
  virtual Clock& clock() = 0;
  virtual Signaller& signaller() = 0;

  // A new group, in `parent` or in the root.  The world owns it.
  virtual Cgroup& NewGroup(const Cgroup* parent = nullptr) = 0;
  virtual Cgroup& RootGroup() = 0;
  // Removes an empty group; the handle stays, with nothing behind it.
  virtual void RemoveGroup(const Cgroup& group) = 0;

  // A process in `group` that sleeps; a child of `parent`, which must be such a
  // process itself, or of nobody in the group.  A parent with threads has no
  // children with threads: ThreadSanitizer ends those.
  virtual pid_t AddTask(Cgroup& group, pid_t parent = 0, int threads = 1) = 0;
  // A child of `parent` that has ended and is not reaped.
  virtual pid_t AddZombie(pid_t parent) = 0;
  // Processes that fork all the time, or as soon as they are to freeze.
  virtual void AddForkStorm(Cgroup& group) = 0;
  // A process that cannot be frozen before Unblock().
  virtual pid_t AddBlockedTask(Cgroup& group) = 0;
  virtual void Unblock(pid_t pid) = 0;
  // The kernel function that it waits in; "" when it spins.
  virtual std::string BlockedIn() const = 0;
  // SIGKILL; returns when it is gone.
  virtual void KillTask(pid_t pid) = 0;
  // How many signals `CountedSignal()` a process of AddTask() has had.
  virtual int SignalsReceived(pid_t pid) = 0;
  virtual int CountedSignal() const = 0;

  // Makes the call in a process that is in `group`, and returns its status.
  virtual absl::Status RunInside(Cgroup& group,
                                 const std::function<absl::Status()>& call) = 0;
  // Lets `call` happen again and again, as by another process, until the
  // result is destroyed.  It must be thread-safe.
  virtual std::shared_ptr<void> Meanwhile(std::function<void()> call) = 0;
  // The other process's way to thaw.  Thread-safe.
  virtual void ThawFromOutside(const Cgroup& group) = 0;
};

struct WorldFactory {
  std::string name;  // of the test case: "FakeV1"
  v1::Hierarchy hierarchy = v1::HIERARCHY_UNSPECIFIED;
  std::string skipped;  // why it cannot be had here; "" when it can
  std::function<std::unique_ptr<World>()> make;
};

// Each kind of world once.
std::vector<WorldFactory> Worlds();
// Each with each kind of blocked task that it knows.
std::vector<WorldFactory> BlockedWorlds();

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_CONTRACT_WORLD_H_
