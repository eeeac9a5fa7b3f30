// The contract suite's real worlds: this machine's v1 and v2 hierarchies, and
// processes that do as they are told.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "freezer/contract_world.h"
#include "tests/support/blocked_task.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt::freezer {
namespace {

// For what takes microseconds on a machine that is not stuck.
constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr absl::Duration kPollInterval = absl::Milliseconds(1);

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "kernel world: %s\n", what.c_str());
  std::abort();
}

void Check(const absl::Status& status, const char* what) {
  if (!status.ok()) Die(absl::StrCat(what, ": ", status.ToString()));
}

// What a process has had of signals; the test reads it.
struct Counters {
  std::atomic<int> counted;
  std::atomic<int> barriers;
};
static_assert(std::atomic<int>::is_always_lock_free);

// Real-time signals are queued, and the lower number comes first: when the
// barrier has come, the counted ones before it have, too.
int Counted() { return SIGRTMIN; }
int Barrier() { return SIGRTMIN + 1; }

// What the test tells a process to do, and the answer: the pid of the child.
enum class Order : int { kForkSleeper, kForkZombie };

struct OrderMessage {
  Order order;
  int threads;
  Counters* counters;
  char procs_path[PATH_MAX];  // of the child's group
};

// In a wait that v1 leaves a thread in when it freezes it.
void* RunThread(void*) {
  for (;;) Clock::Real().Sleep(absl::Hours(1));
}

void StartThreads(int count) {
  pthread_attr_t small;
  ::pthread_attr_init(&small);
  ::pthread_attr_setstacksize(&small, size_t{128} * 1024);
  for (int i = 0; i < count; ++i) {
    pthread_t thread;
    if (::pthread_create(&thread, &small, &RunThread, nullptr) != 0) {
      ::_exit(1);
    }
  }
}

bool Join(const char* procs_path) {
  const int fd = ::open(procs_path, O_WRONLY | O_CLOEXEC);
  const bool joined = fd >= 0 && ::write(fd, "0", 1) == 1;
  ::close(fd);
  return joined;
}

pid_t ForkZombie();
pid_t ForkTask(const OrderMessage& message, int socket);

void Obey(int socket) {
  OrderMessage message;
  const ssize_t got = ::recv(socket, &message, sizeof message, 0);
  if (got < 0 && errno == EINTR) return;
  if (got != sizeof message) ::_exit(0);
  const pid_t pid = message.order == Order::kForkZombie ? ForkZombie()
                                                        : ForkTask(message, -1);
  (void)!::send(socket, &pid, sizeof pid, MSG_NOSIGNAL);
}

void CountSignal(int signals, Counters& counters) {
  signalfd_siginfo info;
  if (::read(signals, &info, sizeof info) != sizeof info) return;
  ++(static_cast<int>(info.ssi_signo) == Counted() ? counters.counted
                                                   : counters.barriers);
}

// A process of AddTask(): says by `ready` that it is there, then obeys orders
// that come from `socket` (-1: none) and counts signals.  It reads them from a
// descriptor: sanitizers put off the handlers of a process that waits.
[[noreturn]] void RunTask(const OrderMessage& message, int socket, int ready) {
  ::prctl(PR_SET_NAME, "contract-task");
  sigset_t counted;
  ::sigemptyset(&counted);
  ::sigaddset(&counted, Counted());
  ::sigaddset(&counted, Barrier());
  ::pthread_sigmask(SIG_BLOCK, &counted, nullptr);
  const int signals = ::signalfd(-1, &counted, SFD_CLOEXEC);
  if (signals < 0 || !Join(message.procs_path)) ::_exit(1);
  StartThreads(message.threads - 1);
  (void)!::write(ready, "r", 1);
  ::close(ready);
  pollfd events[] = {{signals, POLLIN, 0}, {socket, POLLIN, 0}};
  for (;;) {
    if (::poll(events, 2, -1) < 0) continue;
    if (events[0].revents != 0) CountSignal(signals, *message.counters);
    if (events[1].revents != 0) Obey(socket);
  }
}

pid_t ForkZombie() {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  siginfo_t info;
  (void)::waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
  return pid;
}

// A process of AddTask(), or -1; returns when it is ready.
pid_t ForkTask(const OrderMessage& message, int socket) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return -1;
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(ends[0]);
    RunTask(message, socket, ends[1]);
  }
  ::close(ends[1]);
  char byte;
  const bool is_ready = ::read(ends[0], &byte, 1) == 1;
  ::close(ends[0]);
  return is_ready ? pid : -1;
}

// Forks children that end at once, for ever.
[[noreturn]] void Storm() {
  for (;;) {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(0);
    ::waitpid(pid, nullptr, 0);
  }
}

class KernelWorld : public World {
 public:
  KernelWorld(CgroupVersion version, BlockedTask::Kind kind)
      : version_(version), kind_(kind) {
    BecomeReaper();
    auto mount = CgroupMount(version);
    Check(mount.status(), "mount");
    auto root = OpenCgroup(*mount);
    Check(root.status(), "root group");
    root_ = *std::move(root);
    void* const memory =
        ::mmap(nullptr, kMaxTasks * sizeof(Counters), PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) Die("mmap");
    counters_ = static_cast<Counters*>(memory);
  }

  ~KernelWorld() override {
    blocked_.clear();
    // A process may have threads in two groups, and dies when all are thawed.
    for (const Group& group : groups_) (void)group.directory->Thaw();
    // Inner groups before the outer ones.
    while (!groups_.empty()) groups_.pop_back();
    ::munmap(counters_, kMaxTasks * sizeof(Counters));
    (void)ReapAll();
  }

  v1::Hierarchy hierarchy() const override {
    return version_ == CgroupVersion::kV1 ? v1::HIERARCHY_V1 : v1::HIERARCHY_V2;
  }
  ProcFs& proc() override { return ProcFs::Real(); }
  Clock& clock() override { return Clock::Real(); }
  Signaller& signaller() override { return Signaller::Real(); }

  Cgroup& NewGroup(const Cgroup* parent) override {
    auto made =
        parent == nullptr
            ? TestCgroup::Create(version_)
            : Find(*parent).CreateChild(absl::StrCat("inner-", groups_.size()));
    Check(made.status(), "make group");
    auto opened = OpenCgroup((*made)->path());
    Check(opened.status(), "open group");
    groups_.push_back({*std::move(made), *std::move(opened)});
    return *groups_.back().handle;
  }

  Cgroup& RootGroup() override { return *root_; }

  void RemoveGroup(const Cgroup& group) override {
    Check(RemoveCgroup(group.path(), kPatience), "remove group");
  }

  pid_t AddTask(Cgroup& group, pid_t parent, int threads) override {
    OrderMessage message = {};
    message.order = Order::kForkSleeper;
    message.threads = threads;
    message.counters = &counters_[next_counters_++ % kMaxTasks];
    message.counters->counted = 0;
    message.counters->barriers = 0;
    std::snprintf(message.procs_path, sizeof message.procs_path, "%s",
                  Find(group).procs_path().c_str());
    const pid_t pid =
        parent == 0 ? ForkServant(message) : GiveOrder(parent, message);
    tasks_[pid].counters = message.counters;
    return pid;
  }

  pid_t AddZombie(pid_t parent) override {
    OrderMessage message = {};
    message.order = Order::kForkZombie;
    return GiveOrder(parent, message);
  }

  void AddForkStorm(Cgroup& group) override {
    const std::string procs_path = Find(group).procs_path();
    for (int i = 0; i < 4; ++i) {
      const pid_t pid = ::fork();
      if (pid < 0) Die("fork");
      if (pid > 0) continue;
      if (!Join(procs_path.c_str())) ::_exit(1);
      Storm();
    }
    const absl::Time deadline = clock().Now() + kPatience;
    while (Find(group).Processes().size() < 4) {
      if (clock().Now() > deadline) Die("the storm does not begin");
      clock().Sleep(kPollInterval);
    }
  }

  pid_t AddBlockedTask(Cgroup& group) override {
    auto task = BlockedTask::Start(kind_, {&Find(group)});
    Check(task.status(), "blocked task");
    const pid_t pid = (*task)->pid();
    blocked_[pid] = *std::move(task);
    return pid;
  }

  void Unblock(pid_t pid) override {
    Check(blocked_.at(pid)->Unblock(), "unblock");
  }

  std::string BlockedIn() const override {
    return kind_ == BlockedTask::Kind::kFuseRead ? "request_wait_answer" : "";
  }

  void KillTask(pid_t pid) override {
    ::kill(pid, SIGKILL);
    Check(WaitUntilGone({pid}, clock().Now() + kPatience), "kill task");
  }

  int SignalsReceived(pid_t pid) override {
    Counters& counters = *tasks_.at(pid).counters;
    const int before = counters.barriers;
    ::kill(pid, Barrier());
    const absl::Time deadline = clock().Now() + kPatience;
    while (counters.barriers == before) {
      if (clock().Now() > deadline) Die("a task takes no signal");
      clock().Sleep(kPollInterval);
    }
    return counters.counted;
  }

  int CountedSignal() const override { return Counted(); }

  absl::Status RunInside(Cgroup& group,
                         const std::function<absl::Status()>& call) override {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) Die("pipe2");
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    const std::string procs_path = Find(group).procs_path();
    const pid_t pid = ::fork();
    if (pid < 0) Die("fork");
    if (pid == 0) {
      if (!Join(procs_path.c_str())) ::_exit(255);
      const absl::Status status = call();
      const std::string text(status.message());
      (void)!::write(writer.get(), text.data(), text.size());
      ::_exit(static_cast<int>(status.code()));
    }
    writer.Reset();
    char text[PIPE_BUF];
    const ssize_t size = ::read(reader.get(), text, sizeof text);
    int ended = 0;
    ::waitpid(pid, &ended, 0);
    if (size < 0 || !WIFEXITED(ended)) Die("the process inside has died");
    return absl::Status(static_cast<absl::StatusCode>(WEXITSTATUS(ended)),
                        absl::string_view(text, static_cast<size_t>(size)));
  }

  std::shared_ptr<void> Meanwhile(std::function<void()> call) override {
    struct Repeater {
      explicit Repeater(std::function<void()> call)
          : thread([this, call = std::move(call)] {
              while (!done) {
                call();
                Clock::Real().Sleep(kPollInterval);
              }
            }) {}
      ~Repeater() {
        done = true;
        thread.join();
      }
      std::atomic<bool> done{false};
      std::thread thread;
    };
    return std::make_shared<Repeater>(std::move(call));
  }

  void ThawFromOutside(const Cgroup& group) override {
    Check(Find(group).Thaw(), "thaw");
  }

 private:
  struct Group {
    std::unique_ptr<TestCgroup> directory;
    std::unique_ptr<Cgroup> handle;
  };
  struct Servant {
    UniqueFd socket;  // orders; of direct children only
    Counters* counters = nullptr;
  };

  static constexpr int kMaxTasks = 64;

  TestCgroup& Find(const Cgroup& group) const {
    for (const Group& each : groups_) {
      if (each.handle.get() == &group) return *each.directory;
    }
    Die(absl::StrCat("no group of this world: ", group.path()));
  }

  pid_t ForkServant(const OrderMessage& message) {
    int sockets[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
      Die("socketpair");
    }
    UniqueFd mine(sockets[0]);
    const UniqueFd theirs(sockets[1]);
    const pid_t pid = ForkTask(message, theirs.get());
    if (pid < 0) Die("a task does not start");
    tasks_[pid].socket = std::move(mine);
    return pid;
  }

  pid_t GiveOrder(pid_t servant, const OrderMessage& message) {
    const int socket = tasks_.at(servant).socket.get();
    if (::send(socket, &message, sizeof message, MSG_NOSIGNAL) !=
        sizeof message) {
      Die("send");
    }
    return ReadAnswer(socket);
  }

  static pid_t ReadAnswer(int socket) {
    pid_t pid = -1;
    if (::recv(socket, &pid, sizeof pid, 0) != sizeof pid || pid <= 0) {
      Die("a task does not answer");
    }
    return pid;
  }

  const CgroupVersion version_;
  const BlockedTask::Kind kind_;
  std::unique_ptr<Cgroup> root_;
  std::vector<Group> groups_;
  std::map<pid_t, Servant> tasks_;
  std::map<pid_t, std::unique_ptr<BlockedTask>> blocked_;
  Counters* counters_ = nullptr;  // kMaxTasks, shared with the tasks
  int next_counters_ = 0;
};

std::string WhyNoBlockedTask(BlockedTask::Kind kind) {
  if (kind == BlockedTask::Kind::kFuseRead) {
    return ::access("/dev/fuse", R_OK | W_OK) == 0 ? "" : "no /dev/fuse";
  }
  const UniqueFd fd(
      static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
  return fd.ok() ? "" : "no userfaultfd()";
}

WorldFactory MakeFactory(CgroupVersion version, BlockedTask::Kind kind,
                         const std::string& suffix) {
  const bool is_v1 = version == CgroupVersion::kV1;
  std::string skipped = WhyNoCgroup(version);
  if (skipped.empty()) skipped = WhyNoBlockedTask(kind);
  return {(is_v1 ? "KernelV1" : "KernelV2") + suffix,
          is_v1 ? v1::HIERARCHY_V1 : v1::HIERARCHY_V2, skipped,
          [=] { return std::make_unique<KernelWorld>(version, kind); }};
}

}  // namespace

std::vector<WorldFactory> Worlds() {
  return {MakeFactory(CgroupVersion::kV1, BlockedTask::Kind::kPageFault, ""),
          MakeFactory(CgroupVersion::kV2, BlockedTask::Kind::kPageFault, "")};
}

std::vector<WorldFactory> BlockedWorlds() {
  std::vector<WorldFactory> worlds;
  for (const auto version : {CgroupVersion::kV1, CgroupVersion::kV2}) {
    for (const auto kind :
         {BlockedTask::Kind::kPageFault, BlockedTask::Kind::kFuseRead}) {
      worlds.push_back(MakeFactory(version, kind, BlockedTask::KindName(kind)));
    }
  }
  return worlds;
}

}  // namespace ckpt::freezer
