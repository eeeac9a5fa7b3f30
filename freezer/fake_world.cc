// The contract suite's fake worlds.
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/fake_clock.h"
#include "freezer/contract_world.h"
#include "freezer/fake_cgroup.h"

namespace ckpt::freezer {
namespace {

// How a fake task is blocked: what /proc shows of it.
struct Blocked {
  char state;
  const char* wchan;
};

class FakeWorld : public World {
 public:
  FakeWorld(v1::Hierarchy hierarchy, Blocked blocked)
      : hierarchy_(hierarchy),
        blocked_(blocked),
        kernel_(hierarchy, clock_),
        root_(kernel_.OpenGroup("/")) {}

  v1::Hierarchy hierarchy() const override { return hierarchy_; }
  ProcFs& proc() override { return kernel_.proc(); }
  Clock& clock() override { return clock_; }
  Signaller& signaller() override { return kernel_; }

  Cgroup& NewGroup(const Cgroup* parent) override {
    const std::string name = absl::StrCat("/group-", groups_.size() + 1);
    groups_.push_back(kernel_.MakeGroup(
        parent == nullptr ? name : absl::StrCat(PathOf(*parent), name)));
    return *groups_.back();
  }

  Cgroup& RootGroup() override { return *root_; }

  void RemoveGroup(const Cgroup& group) override {
    kernel_.RemoveGroup(PathOf(group));
  }

  pid_t AddTask(Cgroup& group, pid_t parent, int threads) override {
    return kernel_.AddProcess(
        PathOf(group),
        {.ppid = parent == 0 ? ::getpid() : parent, .threads = threads});
  }

  pid_t AddZombie(pid_t parent) override {
    const pid_t pid = kernel_.AddProcess("/", {.ppid = parent});
    kernel_.Kill(pid);
    return pid;
  }

  void AddForkStorm(Cgroup& group) override {
    for (int i = 0; i < 4; ++i) {
      kernel_.AddProcess(PathOf(group), {.forks = 20});
    }
  }

  pid_t AddBlockedTask(Cgroup& group) override {
    return kernel_.AddProcess(PathOf(group), {.comm = "blocked-task",
                                              .freeze = {.never = true},
                                              .state = blocked_.state,
                                              .wchan = blocked_.wchan});
  }

  void Unblock(pid_t pid) override { kernel_.Unblock(pid); }

  std::string BlockedIn() const override {
    return blocked_.state == 'R' ? "" : blocked_.wchan;
  }

  void KillTask(pid_t pid) override { kernel_.Kill(pid); }

  int SignalsReceived(pid_t pid) override {
    return kernel_.SignalsReceived(pid, CountedSignal());
  }

  int CountedSignal() const override { return SIGUSR1; }

  absl::Status RunInside(Cgroup& group,
                         const std::function<absl::Status()>& call) override {
    const pid_t self = ::getpid();
    kernel_.AddProcess(PathOf(group), {.pid = self});
    absl::Status status = call();
    kernel_.Kill(self);
    return status;
  }

  std::shared_ptr<void> Meanwhile(std::function<void()> call) override {
    clock_.on_sleep = std::move(call);
    return std::shared_ptr<void>(
        this, [](FakeWorld* world) { world->clock_.on_sleep = nullptr; });
  }

  void ThawFromOutside(const Cgroup& group) override {
    const bool is_v1 = hierarchy_ == v1::HIERARCHY_V1;
    (void)kernel_.OpenGroup(PathOf(group))
        ->Write(is_v1 ? "freezer.state" : "cgroup.freeze",
                is_v1 ? "THAWED" : "0");
  }

 private:
  std::string PathOf(const Cgroup& group) const {
    return group.path().substr(root_->path().size());
  }

  const v1::Hierarchy hierarchy_;
  const Blocked blocked_;
  FakeClock clock_;
  FakeKernel kernel_;
  const std::unique_ptr<Cgroup> root_;
  std::vector<std::unique_ptr<Cgroup>> groups_;
};

WorldFactory MakeFactory(const std::string& name, v1::Hierarchy hierarchy,
                         Blocked blocked) {
  return {name, hierarchy, "",
          [=] { return std::make_unique<FakeWorld>(hierarchy, blocked); }};
}

// As seen on Linux 6.18: a page fault that is not served, a FUSE read.
constexpr Blocked kSpins = {'R', "0"};
constexpr Blocked kWaits = {'D', "request_wait_answer"};

}  // namespace

std::vector<WorldFactory> Worlds() {
  return {MakeFactory("FakeV1", v1::HIERARCHY_V1, kSpins),
          MakeFactory("FakeV2", v1::HIERARCHY_V2, kSpins)};
}

std::vector<WorldFactory> BlockedWorlds() {
  return {MakeFactory("FakeV1Spins", v1::HIERARCHY_V1, kSpins),
          MakeFactory("FakeV1Waits", v1::HIERARCHY_V1, kWaits),
          MakeFactory("FakeV2Spins", v1::HIERARCHY_V2, kSpins),
          MakeFactory("FakeV2Waits", v1::HIERARCHY_V2, kWaits)};
}

}  // namespace ckpt::freezer
