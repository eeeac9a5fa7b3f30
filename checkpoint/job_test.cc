#include "checkpoint/job.h"

#include <unistd.h>

#include "base/fake_proc.h"
#include "gtest/gtest.h"

namespace ckpt::checkpoint {
namespace {

constexpr pid_t kPid = 5'000'000;  // Linux gives none so high

class JobTest : public testing::Test {
 protected:
  JobTest() { proc_.AddProcess(kPid, 1, "job"); }

  absl::StatusCode CodeOf(const v1::DumpRequest& request) {
    return FindJob(request, proc_).status().code();
  }

  FakeProcFs proc_;
};

TEST_F(JobTest, JobWithoutAFreezerIsItsTreeAlone) {
  v1::DumpRequest request;
  request.set_pid(kPid);
  request.set_no_freezer(true);

  const auto job = FindJob(request, proc_);

  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->root, kPid);
  EXPECT_EQ(job->group, nullptr);
}

TEST_F(JobTest, JobWithoutAFreezerNeedsAPidAndNoGroup) {
  v1::DumpRequest request;
  request.set_no_freezer(true);
  EXPECT_EQ(CodeOf(request), absl::StatusCode::kInvalidArgument);
  request.set_pid(kPid);
  request.set_cgroup("job");
  EXPECT_EQ(CodeOf(request), absl::StatusCode::kInvalidArgument);
}

TEST_F(JobTest, JobNeedsAName) {
  EXPECT_EQ(CodeOf(v1::DumpRequest()), absl::StatusCode::kInvalidArgument);
}

TEST_F(JobTest, SubtreeNeedsTheGroupThatIsFrozenForAll) {
  v1::DumpRequest request;
  request.set_pid(kPid);
  request.set_subtree(true);
  EXPECT_EQ(CodeOf(request), absl::StatusCode::kInvalidArgument);
}

TEST_F(JobTest, NegativePidIsRefused) {
  v1::DumpRequest request;
  request.set_pid(-1);
  EXPECT_EQ(CodeOf(request), absl::StatusCode::kInvalidArgument);
}

TEST_F(JobTest, PidOfNobodyIsNotFound) {
  v1::DumpRequest request;
  request.set_pid(kPid + 1);
  EXPECT_EQ(CodeOf(request), absl::StatusCode::kNotFound);
  request.set_no_freezer(true);
  EXPECT_EQ(CodeOf(request), absl::StatusCode::kNotFound);
}

TEST_F(JobTest, WayUpInTheGroupsNameIsRefused) {
  v1::DumpRequest request;
  request.set_cgroup("job/..");
  EXPECT_EQ(CodeOf(request), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ckpt::checkpoint
