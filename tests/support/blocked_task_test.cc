#include "tests/support/blocked_task.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <tuple>

#include "gtest/gtest.h"

namespace ckpt {
namespace {

// Long enough for a freeze that can succeed (at most 1 ms for one task).
constexpr absl::Duration kLongerThanAnyFreeze = absl::Milliseconds(50);

absl::Time Soon() { return Clock::Real().Now() + absl::Minutes(1); }

using Param = std::tuple<BlockedTask::Kind, CgroupVersion>;

class BlockedTaskTest : public testing::TestWithParam<Param> {
 protected:
  void SetUp() override {
    const auto [kind, version] = GetParam();
    const std::string why = WhyNoCgroup(version);
    if (!why.empty()) GTEST_SKIP() << why;
    auto group = TestCgroup::Create(version);
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
    auto task = BlockedTask::Start(kind, {group_.get()});
    if (absl::IsUnimplemented(task.status())) {
      GTEST_SKIP() << task.status().message();
    }
    ASSERT_TRUE(task.ok()) << task.status();
    task_ = *std::move(task);
  }

  void ExpectFreezing() {
    ASSERT_TRUE(group_->RequestFreeze().ok());
    const absl::Status status = group_->AwaitState(
        CgroupState::kFrozen, Clock::Real().Now() + kLongerThanAnyFreeze);
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
    EXPECT_EQ(*group_->State(), CgroupState::kFreezing);
  }

  std::unique_ptr<TestCgroup> group_;
  std::unique_ptr<BlockedTask> task_;
};

TEST_P(BlockedTaskTest, KeepsItsGroupInFreezing) {
  EXPECT_EQ(group_->Processes(), std::vector<pid_t>{task_->pid()});
  ExpectFreezing();
}

TEST_P(BlockedTaskTest, CanBeFrozenOnceUnblocked) {
  ExpectFreezing();
  ASSERT_TRUE(task_->Unblock().ok());
  EXPECT_TRUE(group_->AwaitState(CgroupState::kFrozen, Soon()).ok());
  ASSERT_TRUE(group_->Thaw().ok());
  EXPECT_TRUE(task_->AwaitUnblocked(Soon()).ok());
}

TEST_P(BlockedTaskTest, IsStillBlockedAfterACancelledFreeze) {
  ExpectFreezing();
  ASSERT_TRUE(group_->Thaw().ok());
  ASSERT_TRUE(group_->AwaitState(CgroupState::kThawed, Soon()).ok());
  EXPECT_EQ(task_->AwaitUnblocked(Clock::Real().Now()).code(),
            absl::StatusCode::kDeadlineExceeded);
  ExpectFreezing();
}

TEST_P(BlockedTaskTest, CanBeKilledWhileThawed) {
  ASSERT_EQ(::kill(task_->pid(), SIGKILL), 0);
  siginfo_t info = {};
  ASSERT_EQ(::waitid(P_PID, task_->pid(), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(info.si_status, SIGKILL);
}

TEST_P(BlockedTaskTest, GoesWhileItsGroupIsFreezing) {
  ExpectFreezing();
  const pid_t pid = task_->pid();
  task_.reset();
  EXPECT_NE(::kill(pid, 0), 0);
}

std::string ParamName(const testing::TestParamInfo<Param>& info) {
  return std::string(BlockedTask::KindName(std::get<0>(info.param))) +
         CgroupVersionName(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, BlockedTaskTest,
    testing::Combine(testing::Values(BlockedTask::Kind::kPageFault,
                                     BlockedTask::Kind::kFuseRead),
                     testing::Values(CgroupVersion::kV1, CgroupVersion::kV2)),
    ParamName);

}  // namespace
}  // namespace ckpt
