// `ckpt freeze --for`: the group is thawed by itself at the end of the time,
// unless it is thawed, renewed or made permanent before, and whatever is
// killed.

#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/e2e/running_ckpt.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workload.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

// flock() in /proc/PID/syscall, on x86-64.
constexpr char kInFlock[] = "73 ";

class LeaseTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    BecomeReaper();
    auto group = TestCgroup::Create(GetParam());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
    path_ = group_->path();
    Job::Options options;
    options.argv = WorkloadNamed("counter").CommandLine(status_path_);
    options.cgroups = {group_.get()};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    ASSERT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
  }

  CommandResult Ckpt(std::vector<std::string> words) {
    words.insert(words.end(), {"--cgroup", path_});
    return ckpt_.Run(std::move(words));
  }
  void MustFreeze(const std::vector<std::string>& words) {
    std::vector<std::string> all = {"freeze"};
    all.insert(all.end(), words.begin(), words.end());
    const CommandResult result = Ckpt(all);
    ASSERT_EQ(result.exit_status, 0) << result.err;
  }
  void Expect(CgroupState state) {
    EXPECT_EQ(group_->AwaitState(state, Soon()), absl::OkStatus());
  }
  bool StatusHas(const std::string& text) {
    return absl::StrContains(Ckpt({"status"}).out, text);
  }

  // Those of this group that live: started by a freeze, or by a recover.
  std::vector<pid_t> LeaseProcesses() {
    ReapAll();
    ProcFs& proc = ProcFs::Real();
    std::vector<pid_t> leases;
    const auto pids = proc.Processes();
    if (!pids.ok()) return leases;
    for (const pid_t pid : *pids) {
      const auto stat = proc.Stat(pid);
      const auto command = proc.Read(pid, "cmdline");
      if (stat.ok() && stat->comm == "ckpt-lease" && stat->state != 'Z' &&
          command.ok() &&
          (absl::StrContains(*command, path_) ||
           absl::StrContains(
               *command, CkptRunner::Binary() + std::string("\0recover", 8)))) {
        leases.push_back(pid);
      }
    }
    return leases;
  }
  void AwaitLeaseProcesses(size_t count) {
    const absl::Time deadline = Soon();
    while (LeaseProcesses().size() != count) {
      ASSERT_LT(Clock::Real().Now(), deadline);
      Clock::Real().Sleep(absl::Milliseconds(1));
    }
  }
  size_t Entries() {
    const auto names = ListDirectory(ckpt_.dir().File("run/journal"));
    return names.ok() ? names->size() : 0;
  }
  void ExpectNoLease() {
    AwaitLeaseProcesses(0);
    EXPECT_EQ(Entries(), 0U);
    EXPECT_FALSE(StatusHas("lease"));
  }

  CkptRunner ckpt_;
  const std::string status_path_ = ckpt_.dir().File("status");
  std::unique_ptr<TestCgroup> group_;
  std::string path_;
};

INSTANTIATE_TEST_SUITE_P(All, LeaseTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

TEST_P(LeaseTest, ThawsByItself) {
  MustFreeze({"--for", "200ms"});
  Expect(CgroupState::kThawed);
  EXPECT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
  ExpectNoLease();
}

TEST_P(LeaseTest, IsShown) {
  MustFreeze({"--for", "1h"});
  Expect(CgroupState::kFrozen);
  EXPECT_TRUE(StatusHas("lease      until "));
  EXPECT_TRUE(
      absl::StrContains(Ckpt({"status", "--json"}).out, "HOLD_PURPOSE_LEASE"));
}

TEST_P(LeaseTest, AThawEndsIt) {
  MustFreeze({"--for", "1h"});
  EXPECT_EQ(Ckpt({"thaw"}).exit_status, 0);
  Expect(CgroupState::kThawed);
  ExpectNoLease();
}

TEST_P(LeaseTest, AnotherTakesItsPlace) {
  MustFreeze({"--for", "2h"});
  const std::vector<pid_t> first = LeaseProcesses();
  MustFreeze({"--for", "1h"});
  AwaitLeaseProcesses(1);
  EXPECT_NE(LeaseProcesses(), first);
  EXPECT_EQ(Entries(), 1U);
  MustFreeze({"--for", "100ms"});
  Expect(CgroupState::kThawed);
  ExpectNoLease();
}

TEST_P(LeaseTest, APlainFreezeMakesItPermanent) {
  MustFreeze({"--for", "1h"});
  MustFreeze({});
  ExpectNoLease();
  Expect(CgroupState::kFrozen);
}

TEST_P(LeaseTest, AGroupThatWasFrozenBeforeStaysSo) {
  MustFreeze({});
  MustFreeze({"--for", "1h"});
  ExpectNoLease();
  Expect(CgroupState::kFrozen);
}

TEST_P(LeaseTest, AFreezeThatIsKilledStartsNone) {
  RunningCkpt freeze(
      ckpt_.CommandLine({"freeze", "--for", "1h", "--cgroup", path_}),
      "freeze.frozen=kill");
  EXPECT_EQ(freeze.Wait(), 128 + SIGKILL);
  EXPECT_EQ(freeze.ReadOutput(), "");
  Expect(CgroupState::kThawed);
  while (Ckpt({"thaw"}).exit_status == 14) {  // its guardian is at work
  }
  ExpectNoLease();
}

TEST_P(LeaseTest, OneThatIsKilledGoesOnAfterRecover) {
  MustFreeze({"--for", "1h"});
  AwaitLeaseProcesses(1);
  ::kill(LeaseProcesses().front(), SIGKILL);
  AwaitLeaseProcesses(0);
  EXPECT_TRUE(StatusHas("killed in a lease"));
  const CommandResult recovered = ckpt_.Run({"recover"});
  EXPECT_TRUE(absl::StrContains(recovered.out, "lease goes on"))
      << recovered.out;
  AwaitLeaseProcesses(1);
  Expect(CgroupState::kFrozen);
  EXPECT_EQ(Ckpt({"thaw"}).exit_status, 0);
  ExpectNoLease();
}

TEST_P(LeaseTest, ItEndsWithItsGroup) {
  MustFreeze({"--for", "1h"});
  group_.reset();
  AwaitLeaseProcesses(0);
  EXPECT_EQ(Entries(), 0U);
}

TEST_P(LeaseTest, ADumpThatLeavesTheJobLeavesItsLease) {
  MustFreeze({"--for", "1h"});
  const CommandResult dump =
      Ckpt({"dump", "--image", "image", "--leave-running"});
  EXPECT_EQ(dump.exit_status, 0) << dump.err;
  Expect(CgroupState::kFrozen);
  EXPECT_TRUE(StatusHas("lease      until "));
}

TEST_P(LeaseTest, ADumpThatEndsTheJobEndsItsLease) {
  MustFreeze({"--for", "1h"});
  const CommandResult dump = Ckpt({"dump", "--image", "image"});
  EXPECT_EQ(dump.exit_status, 0) << dump.err;
  ExpectNoLease();
}

TEST_P(LeaseTest, KillEndsIt) {
  MustFreeze({"--for", "1h"});
  EXPECT_EQ(Ckpt({"kill"}).exit_status, 0);
  ExpectNoLease();
}

TEST_P(LeaseTest, ItsEndWaitsForADump) {
  MustFreeze({"--for", "10s"});
  RunningCkpt dump(ckpt_.CommandLine({"dump", "--leave-running", "--image",
                                      "image", "--cgroup", path_}),
                   "dump.frozen=stop");
  ASSERT_TRUE(dump.WaitUntilStopped(Soon())) << dump.ReadErrors();
  const std::vector<pid_t> leases = LeaseProcesses();
  ASSERT_EQ(leases.size(), 1U);
  const absl::Time deadline = Soon();
  while (true) {
    const auto call = ProcFs::Real().Read(leases.front(), "syscall");
    ASSERT_TRUE(call.ok()) << "the lease has ended";
    if (absl::StartsWith(*call, kInFlock)) break;
    ASSERT_LT(Clock::Real().Now(), deadline);
    Clock::Real().Sleep(absl::Milliseconds(1));
  }
  Expect(CgroupState::kFrozen);
  dump.Continue();
  EXPECT_EQ(dump.Wait(), 0) << dump.ReadErrors();
  Expect(CgroupState::kThawed);
  ExpectNoLease();
}

}  // namespace
}  // namespace ckpt
