// A job that is given to somebody else: dumped, decided, ended, and the other
// half, a restore that is held.  Whoever dies in the middle, what the decision
// file says is done.
#include "checkpoint/hand_over.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/unique_fd.h"
#include "checkpoint/dump.h"
#include "criu/binary.h"
#include "criu/log.h"
#include "criu/work_dir.h"
#include "freezer/journal.h"
#include "freezer/recover.h"
#include "gtest/gtest.h"
#include "restore/restore.h"
#include "store/image_store.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/support/test_dir.h"
#include "tests/testcases/workload.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

using checkpoint::GivenJob;

class HandOverTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  // For its journal of groups, which a process has once.
  static void SetUpTestSuite() { ckpt_ = std::make_unique<CkptRunner>(); }
  static void TearDownTestSuite() { ckpt_.reset(); }

  void SetUp() override {
    BecomeReaper();
    auto group = TestCgroup::Create(GetParam());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
    Job::Options options;
    options.argv = WorkloadNamed("pipes").CommandLine(status_path_);
    options.cgroups = {group_.get()};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    ASSERT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
    criu_ = *criu::FindCriu("");
    over_.decision_dir_fd = directory_.get();
    over_.decision_name = "decision";
  }

  void Decide() {
    EXPECT_TRUE(OpenAt(directory_.get(), "decision", O_CREAT | O_WRONLY).ok());
  }

  absl::StatusOr<v1::DumpReport> Dump() {
    v1::DumpRequest request;
    request.set_cgroup(group_->path());
    request.set_image("image");
    return checkpoint::Dump(
        request, {.store = &store_, .criu = criu_, .hand_over = &over_});
  }

  absl::StatusOr<v1::RestoreReport> Restore(
      std::function<absl::Status(const restore::HeldRestore&)> hold) {
    v1::RestoreRequest request;
    request.set_image("image");
    return restore::Restore(
        request, {.store = &store_, .criu = criu_, .hold = std::move(hold)});
  }

  // The work in a process of its own, which is to die of SIGKILL.
  static void InAProcessThatDies(const std::function<void()>& work) {
    const pid_t child = ::fork();
    if (child == 0) {
      work();
      ::_exit(1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << status;
  }

  // Within the time that the guardian needs, and much more.
  void ExpectNothingLeft() {
    const absl::Time deadline = Soon();
    while (!group_->Processes().empty() && Clock::Real().Now() < deadline) {
      ReapAll();
      Clock::Real().Sleep(absl::Milliseconds(5));
    }
    EXPECT_TRUE(group_->Processes().empty());
    EXPECT_EQ(group_->AwaitState(CgroupState::kThawed, Soon()),
              absl::OkStatus());
    ReapAll();
  }

  void ExpectRuns() {
    EXPECT_EQ(WaitForBeats(status_path_, 5, Soon()), absl::OkStatus());
    EXPECT_TRUE(absl::IsNotFound(store_.Open("image").status()));
  }

  // Seen by the processes that die, too.
  static uint64_t* SharedCounter() {
    void* const page = ::mmap(nullptr, sizeof(uint64_t), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return static_cast<uint64_t*>(page);
  }

  // How many rounds the job has done.
  uint64_t Beats() { return ReadStatus(status_path_)->beat; }

  const TestDir dir_;
  const std::string status_path_ = dir_.File("status");
  const ImageStore store_{dir_.File("store")};
  const UniqueFd directory_{*OpenDirectory(dir_.path())};
  static inline std::unique_ptr<CkptRunner> ckpt_;
  std::string criu_;
  std::unique_ptr<TestCgroup> group_;
  checkpoint::HandOver over_;
};

TEST_P(HandOverTest, JobThatIsTakenEndsAndItsImageStays) {
  uint64_t given_at = 0;
  over_.give = [&](const GivenJob& job) {
    EXPECT_EQ(job.processes.size(), group_->Processes().size());
    EXPECT_EQ(job.check_held(), absl::OkStatus());
    EXPECT_FALSE(job.manifest->image_id().empty());
    given_at = Beats();
    return absl::OkStatus();
  };
  over_.keep_image = true;
  const auto report = Dump();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(Beats(), given_at);
  ExpectNothingLeft();
  ASSERT_TRUE(Restore(nullptr).ok());
  EXPECT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
}

TEST_P(HandOverTest, JobThatIsNotTakenRunsOn) {
  over_.give = [](const GivenJob&) { return absl::UnavailableError("no"); };
  EXPECT_TRUE(absl::IsUnavailable(Dump().status()));
  ExpectRuns();
}

TEST_P(HandOverTest, DeathBeforeTheDecisionGivesTheJobBack) {
  InAProcessThatDies([&] {
    over_.give = [](const GivenJob&) {
      ::raise(SIGKILL);
      return absl::OkStatus();
    };
    (void)Dump();
  });
  ExpectRuns();
}

TEST_P(HandOverTest, DeathAfterTheDecisionEndsTheJob) {
  InAProcessThatDies([&] {
    over_.give = [&](const GivenJob&) {
      Decide();
      ::raise(SIGKILL);
      return absl::OkStatus();
    };
    (void)Dump();
  });
  const uint64_t beats = Beats();
  ExpectNothingLeft();
  EXPECT_EQ(Beats(), beats);
}

// The worst case: agent, guardian and CRIU die at once, and whoever works on
// groups next must not let the job run, or must give it back.
TEST_P(HandOverTest, WhenTheGuardianDiesTooRecoverDoesWhatTheFileSays) {
  for (const bool decided : {false, true}) {
    uint64_t* const beats = SharedCounter();
    InAProcessThatDies([&] {
      over_.give = [&](const GivenJob& job) {
        if (decided) Decide();
        *beats = Beats();
        const auto tracer =
            ProcFs::Real().StatusField(job.processes[0].pid, "TracerPid");
        ::kill(std::stoi(*tracer), SIGKILL);
        const auto all = ProcFs::Real().Children(::getpid());
        for (const pid_t child : *all) {
          ::kill(child, SIGKILL);
        }
        ::raise(SIGKILL);
        return absl::OkStatus();
      };
      (void)Dump();
    });
    const absl::Time deadline = Soon();
    v1::RecoverReport report;
    do {  // until the kernel has given up their locks
      report = *freezer::Recover(freezer::Journal::Default());
    } while (report.groups().empty() && Clock::Real().Now() < deadline);
    ASSERT_EQ(report.groups_size(), 1);
    EXPECT_EQ(report.groups(0).problem(), "");
    EXPECT_EQ(report.groups(0).found(), v1::FREEZER_STATE_FROZEN);
    EXPECT_EQ(report.groups(0).ended(), decided);
    if (decided) {
      EXPECT_EQ(Beats(), *beats);
    } else {
      ExpectRuns();
    }
  }
  ExpectNothingLeft();
}

TEST_P(HandOverTest, DeathOfCriuLetsNothingRunBeforeItIsKnownWhoseItIs) {
  for (const bool taken : {false, true}) {
    over_.give = [&](const GivenJob& job) {
      const auto tracer =
          ProcFs::Real().StatusField(job.processes[0].pid, "TracerPid");
      EXPECT_TRUE(tracer.ok());
      ::kill(std::stoi(*tracer), SIGKILL);
      const uint64_t beats = Beats();
      Clock::Real().Sleep(absl::Milliseconds(100));
      EXPECT_EQ(Beats(), beats);
      EXPECT_EQ(job.check_held(), absl::OkStatus());
      return taken ? absl::OkStatus() : absl::UnavailableError("no");
    };
    EXPECT_EQ(Dump().ok(), taken);
    if (!taken) ExpectRuns();
  }
  ExpectNothingLeft();
}

TEST_P(HandOverTest, RestoreIsHeldAndLetGoOrKilled) {
  over_.give = [](const GivenJob&) { return absl::OkStatus(); };
  over_.keep_image = true;
  ASSERT_TRUE(Dump().ok());
  ExpectNothingLeft();
  const uint64_t before = Beats();
  EXPECT_TRUE(absl::IsUnavailable(Restore([](const auto&) {
                                    return absl::UnavailableError("no");
                                  }).status()));
  ExpectNothingLeft();
  InAProcessThatDies([&] {
    (void)Restore([](const auto&) {
      ::raise(SIGKILL);
      return absl::OkStatus();
    });
  });
  ExpectNothingLeft();
  EXPECT_EQ(Beats(), before);
  absl::StatusOr<v1::RestoreReport> report;
  std::string log;
  const absl::Time deadline = Soon();
  do {  // the guardian holds the group for a moment
    report = Restore([&](const restore::HeldRestore& held) {
      log = held.criu_log;
      EXPECT_FALSE(group_->Processes().empty());
      EXPECT_EQ(Beats(), before);
      return absl::OkStatus();
    });
  } while (absl::IsUnavailable(report.status()) &&
           Clock::Real().Now() < deadline);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
  // It tells that the job was let go, as long as that is not written down.
  EXPECT_TRUE(criu::ShowsRelease(ReadFile(log).value_or("")));
  criu::RemoveLog(log);
  EXPECT_FALSE(ReadFile(log).ok());
}

INSTANTIATE_TEST_SUITE_P(
    All, HandOverTest, testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
    [](const auto& info) { return CgroupVersionName(info.param); });

}  // namespace
}  // namespace ckpt
