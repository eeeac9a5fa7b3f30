// The group of a job that a dump holds, on the kernel's freezers; what becomes
// of a whole dump is shown in tests/e2e/thaw_lock_test.cc.
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "checkpoint/held_group.h"
#include "gtest/gtest.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt::checkpoint {
namespace {

class HeldGroupTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    BecomeReaper();
    auto made = TestCgroup::Create(GetParam());
    ASSERT_TRUE(made.ok()) << made.status();
    directory_ = *std::move(made);
    Job::Options options;
    options.argv = {"/bin/sleep", "1000"};
    options.cgroups = {directory_.get()};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    root_ = job->pid();
    auto group = freezer::OpenCgroup(directory_->path());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
    auto held = HeldGroup::Take(*group_, {.root = root_}, ProcFs::Real(),
                                Clock::Real());
    ASSERT_TRUE(held.ok()) << held.status();
    held_ = *std::move(held);
  }

  static freezer::FreezeOptions Soon() {
    return {.deadline = Clock::Real().Now() + absl::Minutes(1)};
  }

  std::unique_ptr<TestCgroup> directory_;
  std::unique_ptr<freezer::Cgroup> group_;
  pid_t root_ = 0;
  std::unique_ptr<HeldGroup> held_;
};

TEST_P(HeldGroupTest, LockIsTakenOnce) {
  EXPECT_EQ(
      HeldGroup::Take(*group_, {.root = root_}, ProcFs::Real(), Clock::Real())
          .status()
          .code(),
      absl::StatusCode::kUnavailable);
}

TEST_P(HeldGroupTest, FreezesVerifiesAndGivesBack) {
  ASSERT_EQ(held_->Freeze(Soon()), absl::OkStatus());
  EXPECT_EQ(held_->why_unwatched(), "");
  EXPECT_EQ(held_->Verify(), absl::OkStatus());
  EXPECT_EQ(held_->census().TreeProcesses(), std::vector<pid_t>{root_});
  held_.reset();
  EXPECT_EQ(directory_->State().value_or(CgroupState::kFrozen),
            CgroupState::kThawed);
}

TEST_P(HeldGroupTest, TaskThatNobodyHoldsFailsTheCommit) {
  ASSERT_EQ(held_->Freeze(Soon()), absl::OkStatus());
  ASSERT_EQ(held_->Verify(), absl::OkStatus());
  held_->ExpectWritesOf(1);
  ImageContents image;
  image.processes.resize(1);
  image.processes[0].pid = root_;
  const absl::Status status = held_->VerifySeized(image);
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(absl::StrContains(status.message(), "is not held by CRIU"))
      << status;
}

TEST_P(HeldGroupTest, MayGoUnwatchedWithoutTheCapability) {
  const pid_t child = ::fork();
  if (child == 0) {
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2] = {};
    bool ok = ::syscall(SYS_capget, &header, data) == 0;
    data[0].effective &= ~(1U << CAP_SYS_ADMIN);
    ok = ok && ::syscall(SYS_capset, &header, data) == 0;
    ok = ok && held_->Freeze(Soon()).ok() && !held_->why_unwatched().empty() &&
         held_->watch_fd() == -1 && held_->Verify().ok();
    // Without the watch the state still tells.
    ok = ok && directory_->Thaw().ok() && absl::IsAborted(held_->Verify());
    ::_exit(ok ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

INSTANTIATE_TEST_SUITE_P(Freezers, HeldGroupTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const testing::TestParamInfo<CgroupVersion>& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

}  // namespace
}  // namespace ckpt::checkpoint
