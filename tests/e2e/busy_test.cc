// A group with a task that cannot be frozen, as the user of ckpt sees it: who
// blocks, what becomes of the group, and how a freeze that was left standing
// ends.

#include <signal.h>

#include <memory>
#include <string>
#include <tuple>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/support/blocked_task.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {
namespace {

constexpr int kUnavailable = static_cast<int>(absl::StatusCode::kUnavailable);

using BusyCase = std::tuple<CgroupVersion, BlockedTask::Kind>;

class BusyTest : public testing::TestWithParam<BusyCase> {
 protected:
  void SetUp() override {
    BecomeReaper();
    auto group = TestCgroup::Create(std::get<0>(GetParam()));
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
    auto blocked = BlockedTask::Start(std::get<1>(GetParam()), {group_.get()});
    ASSERT_TRUE(blocked.ok()) << blocked.status();
    blocked_ = *std::move(blocked);
  }

  CommandResult Freeze(const std::string& on_busy) {
    return ckpt_.Run({"freeze", "--cgroup", group_->path(), "--timeout",
                      "300ms", "--on-busy", on_busy});
  }

  void ExpectBusy(const CommandResult& result, const std::string& end) {
    EXPECT_EQ(result.exit_status, kUnavailable) << result.err;
    const std::string blocker =
        absl::StrCat(blocked_->pid(), " (blocked-task, state ");
    for (const std::string& part : {group_->path(), blocker, end}) {
      EXPECT_TRUE(absl::StrContains(result.err, part))
          << "no '" << part << "' in: " << result.err;
    }
  }

  void ExpectState(CgroupState state) {
    EXPECT_EQ(group_->AwaitState(state, Soon()), absl::OkStatus());
  }

  void ExpectOk(const CommandResult& result) {
    EXPECT_EQ(result.exit_status, 0) << result.err;
  }

  CkptRunner ckpt_;
  std::unique_ptr<TestCgroup> group_;
  std::unique_ptr<BlockedTask> blocked_;
};

INSTANTIATE_TEST_SUITE_P(
    All, BusyTest,
    testing::Combine(testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                     testing::Values(BlockedTask::Kind::kPageFault,
                                     BlockedTask::Kind::kFuseRead)),
    [](const testing::TestParamInfo<BusyCase>& info) {
      return absl::StrCat(CgroupVersionName(std::get<0>(info.param)),
                          BlockedTask::KindName(std::get<1>(info.param)));
    });

TEST_P(BusyTest, CancelGivesTheGroupBackThawed) {
  ExpectBusy(Freeze("cancel"), "THAWED again");
  ExpectState(CgroupState::kThawed);
}

TEST_P(BusyTest, KeepLeavesItFreezingAndARetryEndsIt) {
  ExpectBusy(Freeze("keep"), "left FREEZING");
  ExpectState(CgroupState::kFreezing);
  ExpectBusy(Freeze("keep"), "left FREEZING");
  ASSERT_EQ(blocked_->Unblock(), absl::OkStatus());

  ExpectOk(ckpt_.Run({"freeze", "--cgroup", group_->path()}));

  ExpectState(CgroupState::kFrozen);
}

TEST_P(BusyTest, KeepLeavesItFreezingAndAThawEndsIt) {
  ExpectBusy(Freeze("keep"), "left FREEZING");

  ExpectOk(ckpt_.Run({"thaw", "--cgroup", group_->path()}));

  ExpectState(CgroupState::kThawed);
}

TEST_P(BusyTest, KeepLeavesItFreezingAndTheBlockersLeavingEndsIt) {
  ExpectBusy(Freeze("keep"), "left FREEZING");

  // On v1 it freezes on its way out, and is gone once it is thawed.
  ASSERT_EQ(::kill(blocked_->pid(), SIGKILL), 0);

  ExpectState(CgroupState::kFrozen);
}

TEST_P(BusyTest, KeepRefusesALeaseWhichNothingWouldBegin) {
  const CommandResult result =
      ckpt_.Run({"freeze", "--cgroup", group_->path(), "--timeout", "300ms",
                 "--on-busy", "keep", "--for", "1h"});
  EXPECT_EQ(result.exit_status,
            static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(absl::StrContains(result.err, "nothing was touched"))
      << result.err;
  ExpectState(CgroupState::kThawed);
}

TEST_P(BusyTest, StatusTellsWhoIsNotFrozenYet) {
  ExpectBusy(Freeze("keep"), "left FREEZING");

  const CommandResult status =
      ckpt_.Run({"status", "--cgroup", group_->path()});

  ExpectOk(status);
  EXPECT_TRUE(absl::StrContains(status.out, "FREEZING (by its own request)"))
      << status.out;
  // TID PID S FROZEN COMM; one that spins also shows S for moments.
  EXPECT_THAT(status.out, testing::ContainsRegex(absl::StrCat(
                              " ", blocked_->pid(), " +", blocked_->pid(),
                              " [RSD] no +blocked-task")));
}

TEST_P(BusyTest, EvidenceIsInTheJsonToo) {
  const CommandResult result = ckpt_.Run(
      {"freeze", "--cgroup", group_->path(), "--timeout", "300ms", "--json"});

  EXPECT_EQ(result.exit_status, kUnavailable) << result.err;
  const bool is_read = std::get<1>(GetParam()) == BlockedTask::Kind::kFuseRead;
  for (const std::string& part :
       {std::string("\"blockers\": ["), std::string("\"tasks\": ["),
        absl::StrCat("\"tid\": ", blocked_->pid()),
        std::string(is_read ? "\"syscall_name\": \"read\""
                            : "\"syscall\": \"running\""),
        std::string("\"frozen\": false")}) {
    EXPECT_TRUE(absl::StrContains(result.out, part))
        << "no " << part << " in: " << result.out;
  }
}

TEST_P(BusyTest, UnknownChoiceIsRefusedAndNothingIsTouched) {
  const CommandResult result = Freeze("wait");
  EXPECT_EQ(result.exit_status,
            static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(absl::StrContains(result.err, "--on-busy 'wait'")) << result.err;
  ExpectState(CgroupState::kThawed);
}

}  // namespace
}  // namespace ckpt
