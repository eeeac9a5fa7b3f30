// The same refusals with real tasks: what the kernel shows of them, thawed and
// frozen by v1 and v2.
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/cancellation.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "checkpoint/findings.h"
#include "checkpoint/preflight.h"
#include "freezer/freezer.h"
#include "gtest/gtest.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt::checkpoint {
namespace {

constexpr absl::Duration kPlenty = absl::Minutes(1);

// By which hierarchy the job is frozen, if by any, while it is looked at.
enum class Frozen { kNot, kByV1, kByV2 };

class PreflightKernelTest : public testing::TestWithParam<Frozen> {
 protected:
  void SetUp() override {
    const CgroupVersion version =
        GetParam() == Frozen::kByV1 ? CgroupVersion::kV1 : CgroupVersion::kV2;
    const std::string why = WhyNoCgroup(version);
    if (!why.empty()) GTEST_SKIP() << why;
    BecomeReaper();
    auto group = TestCgroup::Create(version);
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }

  // A child of the test, in the group, that runs `body` with a descriptor to
  // write to when it is ready; then the job is that child.
  void Start(const std::function<void(int ready)>& body) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    const pid_t parent = ::getpid();
    job_.root = ::fork();
    if (job_.root == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent || !group_->Add(::getpid()).ok()) ::_exit(1);
      body(writer.get());
      for (;;) ::pause();
    }
    writer.Reset();
    char byte;
    if (::read(reader.get(), &byte, 1) != 1) {
      GTEST_SKIP() << "this kernel does not let the job do it";
    }
    auto group = freezer::OpenCgroup(group_->path());
    ASSERT_TRUE(group.ok()) << group.status();
    job_.group = *std::move(group);
  }

  static void SayReady(int fd) { (void)!::write(fd, "r", 1); }

  // Waits until `condition` holds of the job, which is on its way there.
  void Await(const std::function<bool()>& condition) {
    const absl::Time deadline = Clock::Real().Now() + kPlenty;
    while (!condition()) {
      ASSERT_LT(Clock::Real().Now(), deadline);
      Clock::Real().Sleep(absl::Milliseconds(1));
    }
  }

  // The thawed job is refused from now on: it is where it is to be frozen.
  void AwaitRefusal() {
    Await([&] { return !CheckTasks(ProcFs::Real(), {job_.root}).ok(); });
  }

  // Freezes as the parameter says, and looks.
  absl::Status Look() {
    if (GetParam() != Frozen::kNot) {
      freezer::Freezer freezer(*job_.group, ProcFs::Real(), Clock::Real());
      const auto frozen =
          freezer.Freeze({.deadline = Clock::Real().Now() + kPlenty});
      if (!frozen.ok()) return frozen.status();
    }
    return CheckStates();
  }

  // Without what is found of the test itself, which the job is a fork of.
  absl::Status CheckStates() {
    auto report = Examine(job_, ProcFs::Real());
    if (!report.ok()) return report.status();
    std::vector<v1::CheckFinding> findings;
    for (const v1::CheckFinding& finding : report->findings()) {
      if (finding.subject() != "session" &&
          finding.subject() != "unix connection") {
        findings.push_back(finding);
      }
    }
    return ToStatus(MakeReport(findings));
  }

  void ExpectRefused(
      const std::string& words,
      absl::StatusCode code = absl::StatusCode::kFailedPrecondition) {
    const absl::Status status = Look();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), words)) << status;
  }

  std::unique_ptr<TestCgroup> group_;
  Job job_;
};

TEST_P(PreflightKernelTest, LookThatIsCancelledEnds) {
  Start([](int ready) { SayReady(ready); });
  Cancellation cancel;
  cancel.Cancel();
  EXPECT_TRUE(absl::IsCancelled(
      Examine(job_, ProcFs::Real(), {}, nullptr, &cancel).status()));
}

TEST_P(PreflightKernelTest, SleepingTaskPasses) {
  Start([](int ready) { SayReady(ready); });
  const absl::Status status = Look();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_P(PreflightKernelTest, StoppedTaskIsNamed) {
  Start([](int ready) { SayReady(ready); });
  ASSERT_EQ(::kill(job_.root, SIGSTOP), 0);
  Await([&] { return ProcFs::Real().Stat(job_.root)->state == 'T'; });
  ExpectRefused(absl::StrCat(job_.root, " ("));
  ExpectRefused("is stopped");
}

TEST_P(PreflightKernelTest, TracedTaskIsNamedWithItsTracer) {
  Start([](int ready) { SayReady(ready); });
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const pid_t tracer = ::fork();
  if (tracer == 0) {
    ::prctl(PR_SET_NAME, "test-tracer");
    if (::ptrace(PTRACE_SEIZE, job_.root, nullptr, nullptr) != 0) ::_exit(1);
    SayReady(writer.get());
    for (;;) ::pause();
  }
  writer.Reset();
  char byte;
  ASSERT_EQ(::read(reader.get(), &byte, 1), 1);

  ExpectRefused(absl::StrCat("traced by process ", tracer, " (test-tracer)"));

  ::kill(tracer, SIGKILL);
  ::waitpid(tracer, nullptr, 0);
}

// What posix_spawn() and vfork() do, but with memory of the child's own.
void CloneVfork() {
  const auto pid = ::syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) {
    for (;;) ::pause();
  }
}

TEST_P(PreflightKernelTest, ParentInVforkIsNamed) {
  Start([](int ready) {
    SayReady(ready);
    CloneVfork();
  });
  AwaitRefusal();
  ExpectRefused("waits in vfork()", absl::StatusCode::kUnavailable);
}

void* CloneVforkInThread(void*) {
  CloneVfork();
  return nullptr;
}

TEST_P(PreflightKernelTest, ThreadInVforkIsNamed) {
  Start([](int ready) {
    pthread_t thread;
    SayReady(ready);
    ::pthread_create(&thread, nullptr, &CloneVforkInThread, nullptr);
  });
  AwaitRefusal();
  ExpectRefused("waits in vfork()", absl::StatusCode::kUnavailable);
}

TEST_P(PreflightKernelTest, UserfaultfdIsNamed) {
  Start([](int ready) {
    if (::syscall(SYS_userfaultfd, O_NONBLOCK) >= 0) SayReady(ready);
    ::close(ready);
  });
  if (IsSkipped()) return;
  ExpectRefused("a userfaultfd open");
}

TEST_P(PreflightKernelTest, IoUringIsNamed) {
  Start([](int ready) {
    io_uring_params params = {};
    if (::syscall(SYS_io_uring_setup, 4, &params) >= 0) SayReady(ready);
    ::close(ready);
  });
  if (IsSkipped()) return;
  ExpectRefused("an io_uring open");
}

TEST_P(PreflightKernelTest, TreeThatHoldsTheCallerIsRefused) {
  Start([](int ready) { SayReady(ready); });
  job_.root = ::getpid();
  const absl::Status status = CheckStates();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
}

std::string FrozenName(const testing::TestParamInfo<Frozen>& info) {
  return info.param == Frozen::kNot    ? "Thawed"
         : info.param == Frozen::kByV1 ? "FrozenByV1"
                                       : "FrozenByV2";
}

INSTANTIATE_TEST_SUITE_P(Freezers, PreflightKernelTest,
                         testing::Values(Frozen::kNot, Frozen::kByV1,
                                         Frozen::kByV2),
                         FrozenName);

// --- Other freezers ---------------------------------------------------------

class OtherFreezersTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    const std::string why = WhyNoCgroup(GetParam());
    if (!why.empty()) GTEST_SKIP() << why;
    auto outer = TestCgroup::Create(GetParam());
    ASSERT_TRUE(outer.ok()) << outer.status();
    outer_ = *std::move(outer);
    auto group = outer_->CreateChild("job");
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
    job_.root = ::fork();
    if (job_.root == 0) {
      for (;;) ::pause();
    }
    ASSERT_TRUE(group_->Add(job_.root).ok());
    auto opened = freezer::OpenCgroup(group_->path());
    ASSERT_TRUE(opened.ok()) << opened.status();
    job_.group = *std::move(opened);
  }

  static void Freeze(const TestCgroup& group) {
    ASSERT_TRUE(group.RequestFreeze().ok());
    ASSERT_TRUE(
        group.AwaitState(CgroupState::kFrozen, Clock::Real().Now() + kPlenty)
            .ok());
  }

  absl::Status Look() {
    return CheckOtherFreezers(job_, ProcFs::Real(), {job_.root});
  }

  void ExpectRefusedBecauseOf(const TestCgroup& group) {
    const absl::Status status = Look();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), group.path())) << status;
  }

  std::unique_ptr<TestCgroup> outer_;
  std::unique_ptr<TestCgroup> group_;
  Job job_;
};

TEST_P(OtherFreezersTest, ThawedJobPasses) {
  const absl::Status status = Look();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_P(OtherFreezersTest, JobFrozenByItsOwnGroupPasses) {
  Freeze(*group_);
  const absl::Status status = Look();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_P(OtherFreezersTest, FrozenAncestorIsNamed) {
  Freeze(*outer_);
  ExpectRefusedBecauseOf(*outer_);
}

TEST_P(OtherFreezersTest, FrozenGroupBelowIsNamed) {
  const auto below = group_->CreateChild("below");
  ASSERT_TRUE(below.ok()) << below.status();
  const auto deeper = (*below)->CreateChild("deeper");
  ASSERT_TRUE(deeper.ok()) << deeper.status();
  Freeze(**deeper);
  ExpectRefusedBecauseOf(**deeper);
}

TEST_P(OtherFreezersTest, FreezerOfTheOtherHierarchyIsNamed) {
  const auto other_version = GetParam() == CgroupVersion::kV1
                                 ? CgroupVersion::kV2
                                 : CgroupVersion::kV1;
  const std::string why = WhyNoCgroup(other_version);
  if (!why.empty()) GTEST_SKIP() << why;
  const auto other = TestCgroup::Create(other_version);
  ASSERT_TRUE(other.ok()) << other.status();
  ASSERT_TRUE((*other)->Add(job_.root).ok());
  EXPECT_TRUE(Look().ok());
  Freeze(**other);
  ExpectRefusedBecauseOf(**other);
}

TEST_P(OtherFreezersTest, JobWithoutAGroupThatSomebodyFrozeIsRefused) {
  job_.group = nullptr;
  EXPECT_TRUE(Look().ok());
  Freeze(*group_);
  ExpectRefusedBecauseOf(*group_);
}

INSTANTIATE_TEST_SUITE_P(Versions, OtherFreezersTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

}  // namespace
}  // namespace ckpt::checkpoint
