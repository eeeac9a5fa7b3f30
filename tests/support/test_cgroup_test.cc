#include "tests/support/test_cgroup.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "gtest/gtest.h"

namespace ckpt {
namespace {

absl::Time Soon() { return Clock::Real().Now() + absl::Minutes(1); }

pid_t ForkSleeper() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    for (;;) ::pause();
  }
  return pid;
}

// True when the process is gone, not even a zombie.
bool Gone(pid_t pid) { return ::kill(pid, 0) != 0 && errno == ESRCH; }

bool AwaitGone(pid_t pid) {
  const absl::Time deadline = Soon();
  while (!Gone(pid)) {
    ::waitpid(pid, nullptr, WNOHANG);
    if (Clock::Real().Now() >= deadline) return false;
    Clock::Real().Sleep(absl::Milliseconds(1));
  }
  return true;
}

std::string VersionName(const testing::TestParamInfo<CgroupVersion>& info) {
  return CgroupVersionName(info.param);
}

class TestCgroupTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    const std::string why = WhyNoCgroup(GetParam());
    if (!why.empty()) GTEST_SKIP() << why;
  }
};

TEST_P(TestCgroupTest, FreezesAndThawsItsProcesses) {
  const auto group = TestCgroup::Create(GetParam());
  ASSERT_TRUE(group.ok()) << group.status();
  const pid_t pid = ForkSleeper();
  ASSERT_TRUE((*group)->Add(pid).ok());
  EXPECT_EQ((*group)->Processes(), std::vector<pid_t>{pid});
  EXPECT_EQ(*(*group)->State(), CgroupState::kThawed);

  ASSERT_TRUE((*group)->RequestFreeze().ok());
  EXPECT_TRUE((*group)->AwaitState(CgroupState::kFrozen, Soon()).ok());
  ASSERT_TRUE((*group)->Thaw().ok());
  EXPECT_TRUE((*group)->AwaitState(CgroupState::kThawed, Soon()).ok());
}

TEST_P(TestCgroupTest, EndsFrozenProcessesAndReapsThem) {
  pid_t pid = 0;
  {
    const auto group = TestCgroup::Create(GetParam());
    ASSERT_TRUE(group.ok()) << group.status();
    pid = ForkSleeper();
    ASSERT_TRUE((*group)->Add(pid).ok());
    ASSERT_TRUE((*group)->RequestFreeze().ok());
    ASSERT_TRUE((*group)->AwaitState(CgroupState::kFrozen, Soon()).ok());
  }
  EXPECT_TRUE(Gone(pid));
  EXPECT_TRUE(FindTestCgroups(TestCgroupPrefix(::getpid())).empty());
}

TEST_P(TestCgroupTest, NestedGroupGoesWhileItsParentIsFrozen) {
  const auto parent = TestCgroup::Create(GetParam());
  ASSERT_TRUE(parent.ok()) << parent.status();
  pid_t pid = 0;
  {
    const auto child = (*parent)->CreateChild("inner");
    ASSERT_TRUE(child.ok()) << child.status();
    pid = ForkSleeper();
    ASSERT_TRUE((*child)->Add(pid).ok());
    EXPECT_EQ((*parent)->Processes(), std::vector<pid_t>{pid});
    ASSERT_TRUE((*child)->RequestFreeze().ok());
    ASSERT_TRUE((*parent)->RequestFreeze().ok());
    ASSERT_TRUE((*parent)->AwaitState(CgroupState::kFrozen, Soon()).ok());
    ASSERT_TRUE((*child)->AwaitState(CgroupState::kFrozen, Soon()).ok());
  }
  EXPECT_TRUE(Gone(pid));
  EXPECT_TRUE((*parent)->Processes().empty());
}

TEST_P(TestCgroupTest, KillAllLeavesAnEmptyUsableGroup) {
  const auto group = TestCgroup::Create(GetParam());
  ASSERT_TRUE(group.ok()) << group.status();
  const pid_t first = ForkSleeper();
  ASSERT_TRUE((*group)->Add(first).ok());
  ASSERT_TRUE((*group)->RequestFreeze().ok());
  ASSERT_TRUE((*group)->KillAll(Soon()).ok());
  EXPECT_TRUE(Gone(first));
  const pid_t second = ForkSleeper();
  EXPECT_TRUE((*group)->Add(second).ok());
}

INSTANTIATE_TEST_SUITE_P(Versions, TestCgroupTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         VersionName);

// ---------------------------------------------------------------------------
// A test that dies: a process that makes groups, freezes tasks in them, says so
// and waits for its end.

struct Victim {
  pid_t pid;
  std::vector<pid_t> frozen;  // its children
};

// In the victim: a task that is frozen in a group and in one nested in it.
pid_t FreezeATask(CgroupVersion version) {
  auto outer = TestCgroup::Create(version);
  if (!outer.ok()) ::_exit(1);
  auto inner = (*outer)->CreateChild("inner");
  if (!inner.ok()) ::_exit(1);
  const pid_t pid = ForkSleeper();
  if (!(*inner)->Add(pid).ok() || !(*inner)->RequestFreeze().ok() ||
      !(*outer)->RequestFreeze().ok() ||
      !(*outer)->AwaitState(CgroupState::kFrozen, Soon()).ok()) {
    ::_exit(1);
  }
  inner->release();  // NOLINT: the point is that nobody destroys them
  outer->release();  // NOLINT
  return pid;
}

Victim StartVictim(const std::vector<CgroupVersion>& versions, int signal) {
  int ends[2];
  if (::pipe(ends) != 0) return {-1, {}};
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(ends[0]);
    ::signal(signal, SIG_DFL);  // a sanitizer may have a handler of its own
    for (const CgroupVersion version : versions) {
      const pid_t frozen = FreezeATask(version);
      if (::write(ends[1], &frozen, sizeof frozen) != sizeof frozen) {
        ::_exit(1);
      }
    }
    for (;;) ::pause();
  }
  ::close(ends[1]);
  Victim victim = {pid, {}};
  pid_t frozen;
  while (victim.frozen.size() < versions.size() &&
         ::read(ends[0], &frozen, sizeof frozen) == sizeof frozen) {
    victim.frozen.push_back(frozen);
  }
  ::close(ends[0]);
  return victim;
}

std::string SignalName(const testing::TestParamInfo<int>& info) {
  return std::string("Sig") + ::sigabbrev_np(info.param);
}

class CgroupGuardTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    for (const CgroupVersion version :
         {CgroupVersion::kV1, CgroupVersion::kV2}) {
      if (WhyNoCgroup(version).empty()) versions_.push_back(version);
    }
    if (versions_.empty()) GTEST_SKIP() << WhyNoCgroup(CgroupVersion::kV2);
  }

  std::vector<CgroupVersion> versions_;
};

TEST_P(CgroupGuardTest, NothingIsLeftOfATestThatASignalEnds) {
  const Victim victim = StartVictim(versions_, GetParam());
  ASSERT_EQ(victim.frozen.size(), versions_.size());
  const std::string prefix = TestCgroupPrefix(victim.pid);
  ASSERT_EQ(FindTestCgroups(prefix).size(), versions_.size());

  ASSERT_EQ(::kill(victim.pid, GetParam()), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(victim.pid, &status, 0), victim.pid);

  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), GetParam());
  if (GetParam() != SIGKILL) {
    // Cleaned before it went: Bazel may kill the guard right after.
    EXPECT_TRUE(FindTestCgroups(prefix).empty());
  }
  for (const pid_t pid : victim.frozen) EXPECT_TRUE(AwaitGone(pid));
  const absl::Time deadline = Soon();
  while (!FindTestCgroups(prefix).empty()) {
    ASSERT_LT(Clock::Real().Now(), deadline);
    Clock::Real().Sleep(absl::Milliseconds(1));
  }
}

INSTANTIATE_TEST_SUITE_P(Signals, CgroupGuardTest,
                         testing::Values(SIGKILL, SIGTERM, SIGINT, SIGHUP,
                                         SIGABRT, SIGSEGV),
                         SignalName);

}  // namespace
}  // namespace ckpt
