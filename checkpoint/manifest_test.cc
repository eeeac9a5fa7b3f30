#include "checkpoint/manifest.h"

#include "absl/strings/match.h"
#include "base/fake_proc.h"
#include "gtest/gtest.h"

namespace ckpt::checkpoint {
namespace {

using freezer::Census;

class RecordGroupsTest : public testing::Test {
 protected:
  RecordGroupsTest() {
    proc_.AddProcess(100, 1, "root");
    proc_.AddProcess(200, 100, "child");
    proc_.AddThread(201, 200);
  }

  FakeProcFs proc_;
  v1::ManifestJob job_;
};

TEST_F(RecordGroupsTest, OnlyGroupsBelowAreListed) {
  Census census;
  census.groups = {{"", {{100, 100, 1}}},
                   {"a/b", {{200, 200, 2}, {201, 200, 2}}}};
  ASSERT_EQ(RecordGroups(census, proc_, job_), absl::OkStatus());
  ASSERT_EQ(job_.groups_size(), 1);
  EXPECT_EQ(job_.groups(0).cgroup(), "a/b");
  ASSERT_EQ(job_.groups(0).pids_size(), 1);
  EXPECT_EQ(job_.groups(0).pids(0), 200);
}

TEST_F(RecordGroupsTest, NumbersAreThoseOfTheInnermostNamespace) {
  proc_.Find(200)->status["NSpid"] = "200\t7";
  Census census;
  census.groups = {{"", {}}, {"a", {{200, 200, 2}}}};
  ASSERT_EQ(RecordGroups(census, proc_, job_), absl::OkStatus());
  EXPECT_EQ(job_.groups(0).pids(0), 7);
}

TEST_F(RecordGroupsTest, ProcessWithThreadsInTwoGroupsIsRefused) {
  Census census;
  census.groups = {{"", {{200, 200, 2}}}, {"a", {{201, 200, 2}}}};
  const absl::Status status = RecordGroups(census, proc_, job_);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(status.message(), "200 (child)")) << status;
}

}  // namespace
}  // namespace ckpt::checkpoint
