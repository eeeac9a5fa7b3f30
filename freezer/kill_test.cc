#include "freezer/kill.h"

#include <signal.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "base/fake_clock.h"
#include "freezer/fake_cgroup.h"
#include "gtest/gtest.h"

namespace ckpt::freezer {
namespace {

class KillTest : public testing::Test {
 protected:
  absl::StatusOr<v1::KillReport> Kill(FakeKernel& kernel, int signal) {
    const auto group = kernel.OpenGroup("/job");
    Freezer freezer(*group, kernel.proc(), clock_);
    return KillGroup(freezer, signal,
                     {.deadline = clock_.Now() + absl::Seconds(10)}, kernel);
  }

  FakeClock clock_;
};

TEST_F(KillTest, V2WritesTheKillFileAndSendsNoSignal) {
  FakeKernel kernel(v1::HIERARCHY_V2, clock_);
  kernel.MakeGroup("/job");
  const pid_t pid = kernel.AddProcess("/job", {});

  const auto report = Kill(kernel, SIGKILL);

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->processes(), 1);
  EXPECT_EQ(kernel.writes(), (std::vector<std::string>{
                                 "/job/cgroup.freeze=1", "/job/cgroup.kill=1",
                                 "/job/cgroup.freeze=0"}));
  EXPECT_EQ(kernel.SignalsReceived(pid, SIGKILL), 0);
}

TEST_F(KillTest, V2WithoutAKillFileFreezesAndSignals) {
  FakeKernel kernel(v1::HIERARCHY_V2, clock_);
  kernel.set_has_kill_file(false);
  kernel.MakeGroup("/job");
  const pid_t pid = kernel.AddProcess("/job", {});

  const auto report = Kill(kernel, SIGKILL);

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->empty());
  EXPECT_EQ(kernel.SignalsReceived(pid, SIGKILL), 1);
}

// Its dead tasks would be frozen again, and stay.
TEST_F(KillTest, V1GroupThatWasFrozenBeforeIsNotFrozenAgain) {
  FakeKernel kernel(v1::HIERARCHY_V1, clock_);
  const auto group = kernel.MakeGroup("/job");
  kernel.AddProcess("/job", {.dies_after = absl::Milliseconds(1)});
  Freezer freezer(*group, kernel.proc(), clock_);
  ASSERT_TRUE(freezer.Freeze({}).ok());

  const auto report = Kill(kernel, SIGKILL);

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->empty());
  EXPECT_EQ(freezer.GetStatus(false)->state(), v1::FREEZER_STATE_THAWED);
}

TEST_F(KillTest, TasksThatForkWhileTheyAreKilledAreAllFound) {
  FakeKernel kernel(v1::HIERARCHY_V1, clock_);
  const auto group = kernel.MakeGroup("/job");
  kernel.AddProcess("/job", {.forks = 7});

  const auto report = Kill(kernel, SIGKILL);

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->processes(), 8);
  EXPECT_TRUE(group->Processes()->empty());
}

TEST_F(KillTest, TaskThatDoesNotDieIsNamedAtTheDeadline) {
  for (const auto hierarchy : {v1::HIERARCHY_V1, v1::HIERARCHY_V2}) {
    FakeKernel kernel(hierarchy, clock_);
    kernel.MakeGroup("/job");
    kernel.AddProcess(
        "/job", {.pid = 7'000'000, .dies_after = absl::InfiniteDuration()});

    const auto report = Kill(kernel, SIGKILL);

    EXPECT_EQ(report.status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_TRUE(absl::StrContains(report.status().message(), "7000000"))
        << report.status();
  }
}

TEST_F(KillTest, RefusedSignalReachesTheOthersAndTheGroupIsGivenBack) {
  class RefusesTheFirst : public Signaller {
   public:
    absl::Status Send(pid_t, int) override {
      if (++calls == 1) return absl::PermissionDeniedError("signal process");
      return absl::OkStatus();
    }
    int calls = 0;
  };
  FakeKernel kernel(v1::HIERARCHY_V1, clock_);
  const auto group = kernel.MakeGroup("/job");
  for (int i = 0; i < 3; ++i) kernel.AddProcess("/job", {});
  Freezer freezer(*group, kernel.proc(), clock_);
  RefusesTheFirst signaller;

  const auto report =
      KillGroup(freezer, SIGTERM, {.deadline = clock_.Now() + absl::Seconds(1)},
                signaller);

  EXPECT_EQ(report.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(signaller.calls, 3);
  EXPECT_TRUE(
      absl::StrContains(report.status().message(),
                        "1 process(es) did not get the signal, and 2 did"))
      << report.status();
  EXPECT_EQ(freezer.GetStatus(false)->state(), v1::FREEZER_STATE_THAWED);
}

}  // namespace
}  // namespace ckpt::freezer
