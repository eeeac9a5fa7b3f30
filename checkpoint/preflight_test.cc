#include "checkpoint/preflight.h"

#include <unistd.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "base/fake_clock.h"
#include "base/fake_proc.h"
#include "gtest/gtest.h"

namespace ckpt::checkpoint {
namespace {

// Pids that no process of this machine has, as Linux gives none so high.
constexpr pid_t kRoot = 5'000'000;
constexpr pid_t kChild = 5'000'001;
constexpr pid_t kThread = 5'000'002;
constexpr pid_t kOther = 6'000'000;

class PreflightTest : public testing::Test {
 protected:
  PreflightTest() {
    proc_.AddProcess(kRoot, 1, "root");
    proc_.AddProcess(kChild, kRoot, "child");
    proc_.AddThread(kThread, kChild);
  }

  void Set(pid_t tid, char state, const std::string& wchan) {
    FakeTask& task = *proc_.Find(tid);
    task.stat.state = state;
    task.files["wchan"] = wchan;
  }

  absl::Status CheckTree() { return CheckTasks(proc_, {kRoot, kChild}); }

  // Of a job that is frozen by nothing but ptrace.
  absl::Status RunPreflight() {
    Job job;
    job.root = kRoot;
    return Preflight(job, proc_);
  }

  static void ExpectRefused(
      const absl::Status& status, const char* words,
      absl::StatusCode code = absl::StatusCode::kFailedPrecondition) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), words)) << status;
  }

  FakeProcFs proc_;
};

TEST_F(PreflightTest, SleepingTreePasses) {
  EXPECT_TRUE(RunPreflight().ok());
  EXPECT_TRUE(CheckTree().ok());
}

TEST_F(PreflightTest, FrozenTreePasses) {
  Set(kRoot, 'D', "__refrigerator");
  Set(kChild, 'D', "hrtimer_nanosleep");
  Set(kThread, 'S', "get_signal");
  EXPECT_TRUE(CheckTree().ok());
}

TEST_F(PreflightTest, TaskOnItsWayIntoVforkIsAwaited) {
  FakeClock clock;
  Set(kThread, 'R', "0");
  clock.on_sleep = [&] { Set(kThread, 'D', "kernel_clone"); };
  ExpectRefused(CheckTasks(proc_, {kRoot, kChild}, &clock), "waits in vfork()",
                absl::StatusCode::kUnavailable);
}

TEST_F(PreflightTest, TaskThatShowsNoRestIsNotAwaitedForEver) {
  FakeClock clock;
  Set(kThread, 'R', "0");
  EXPECT_TRUE(CheckTasks(proc_, {kRoot, kChild}, &clock).ok());
}

TEST_F(PreflightTest, RootThatIsGoneIsNotFound) {
  proc_.Remove(kRoot);
  EXPECT_EQ(RunPreflight().code(), absl::StatusCode::kNotFound);
}

TEST_F(PreflightTest, ProcessThatEndsMeanwhilePasses) {
  proc_.Remove(kChild);
  EXPECT_TRUE(CheckTree().ok());
}

TEST_F(PreflightTest, ZombieRootIsRefused) {
  proc_.BecomeZombie(kRoot);
  ExpectRefused(CheckTree(), "5000000 (root), the root of the tree, has ended");
}

TEST_F(PreflightTest, ZombieChildPasses) {
  proc_.BecomeZombie(kChild);
  EXPECT_TRUE(CheckTree().ok());
}

TEST_F(PreflightTest, StoppedProcessIsNamed) {
  Set(kChild, 'T', "do_signal_stop");
  ExpectRefused(CheckTree(), "5000001 (child) is stopped");
}

TEST_F(PreflightTest, StoppedProcessThatV1HasFrozenIsNamed) {
  Set(kChild, 'D', "do_signal_stop");
  ExpectRefused(CheckTree(), "5000001 (child) is stopped");
}

TEST_F(PreflightTest, TracedTaskIsNamedWithItsTracer) {
  proc_.AddProcess(kOther, 1, "gdb");
  proc_.Find(kRoot)->status["TracerPid"] = "6000000";
  ExpectRefused(CheckTree(),
                "5000000 (root) is traced by process 6000000 (gdb)");
}

TEST_F(PreflightTest, TracedThreadIsNamed) {
  proc_.Find(kThread)->status["TracerPid"] = "6000000";
  ExpectRefused(CheckTree(), "5000002 (child) is traced by process 6000000");
}

TEST_F(PreflightTest, ParentInVforkIsNamed) {
  for (const char* wchan : {"kernel_clone", "wait_for_vfork_done"}) {
    Set(kRoot, 'D', wchan);
    ExpectRefused(CheckTree(), "5000000 (root) waits in vfork()",
                  absl::StatusCode::kUnavailable);
  }
}

TEST_F(PreflightTest, ThreadInVforkIsNamed) {
  Set(kThread, 'D', "kernel_clone");
  ExpectRefused(CheckTree(), "5000002 (child) waits in vfork()",
                absl::StatusCode::kUnavailable);
}

// As v1 freezes a new child before it has run.
TEST_F(PreflightTest, TaskFrozenOnItsWayOutOfCloneIsNotInVfork) {
  Set(kChild, 'D', "__refrigerator");
  proc_.Find(kChild)->files["syscall"] = "58 0x0 0x0 0x0 0x0 0x0 0x0 0x1 0x2";
  EXPECT_TRUE(CheckTree().ok());
}

TEST_F(PreflightTest, TreeThatHoldsTheCallerIsRefused) {
  proc_.AddProcess(::getpid(), kChild, "ckpt");
  ExpectRefused(RunPreflight(), "ckpt itself");
}

TEST_F(PreflightTest, FilesThatCriuCannotDumpAreNamed) {
  const std::pair<const char*, const char*> files[] = {
      {"anon_inode:[io_uring]", "5000001 (child) has an io_uring"},
      {"anon_inode:[userfaultfd]", "5000001 (child) has a userfaultfd"},
      {"anon_inode:bpf-map", "5000001 (child) has a BPF map"},
      {"anon_inode:bpf-prog", "5000001 (child) has a BPF program"},
      {"anon_inode:[perf_event]", "5000001 (child) has a perf event"},
  };
  for (const auto& [target, words] : files) {
    proc_.Find(kChild)->open_files = {{0, "/dev/null"}, {3, target}};
    ExpectRefused(RunPreflight(), words);
  }
}

TEST_F(PreflightTest, OrdinaryFilesPass) {
  proc_.Find(kChild)->open_files = {{0, "/dev/null"},
                                    {3, "anon_inode:[eventpoll]"},
                                    {4, "/tmp/anon_inode:[io_uring]"}};
  EXPECT_TRUE(RunPreflight().ok());
}

// Bit 24 of CapEff is CAP_SYS_RESOURCE (capabilities(7)).
bool MayReadLimitsOfOthers() {
  const auto text =
      ProcFs::Real().StatusField(static_cast<pid_t>(::getpid()), "CapEff");
  uint64_t mask = 0;
  return text.ok() && absl::SimpleHexAtoi(*text, &mask) &&
         ((mask >> 24) & 1) != 0;
}

TEST_F(PreflightTest, OtherUsersProcessNeedsCapSysResource) {
  const uid_t other = ::getuid() + 1;
  proc_.Find(kChild)->status["Uid"] =
      absl::StrCat(other, "\t", other, "\t", other, "\t", other);
  const absl::Status status = RunPreflight();
  if (MayReadLimitsOfOthers()) {
    EXPECT_TRUE(status.ok()) << status;
  } else {
    ExpectRefused(status, "lacks CAP_SYS_RESOURCE");
  }
}

TEST_F(PreflightTest, OwnUsersProcessNeedsNoCapability) {
  proc_.Find(kChild)->status["Uid"] =
      absl::StrCat(::getuid(), "\t", ::getuid());
  EXPECT_TRUE(RunPreflight().ok());
}

}  // namespace
}  // namespace ckpt::checkpoint
