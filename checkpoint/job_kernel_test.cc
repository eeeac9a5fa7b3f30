// Jobs in real groups.
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "checkpoint/job.h"
#include "gtest/gtest.h"
#include "tests/support/test_cgroup.h"

namespace ckpt::checkpoint {
namespace {

class JobKernelTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    const std::string why = WhyNoCgroup(GetParam());
    if (!why.empty()) GTEST_SKIP() << why;
    auto group = TestCgroup::Create(GetParam());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }

  static pid_t Fork() {
    const pid_t pid = ::fork();
    if (pid == 0) {
      for (;;) ::pause();
    }
    return pid;
  }

  pid_t AddTask() {
    const pid_t pid = Fork();
    EXPECT_TRUE(group_->Add(pid).ok());
    return pid;
  }

  static absl::StatusOr<Job> Find(const std::string& cgroup, pid_t pid) {
    v1::DumpRequest request;
    request.set_cgroup(cgroup);
    request.set_pid(pid);
    return FindJob(request, ProcFs::Real());
  }

  v1::Hierarchy hierarchy() const {
    return GetParam() == CgroupVersion::kV1 ? v1::HIERARCHY_V1
                                            : v1::HIERARCHY_V2;
  }

  std::unique_ptr<TestCgroup> group_;
};

TEST_P(JobKernelTest, GroupHasTheRootOfItsOneTree) {
  const pid_t pid = AddTask();
  const auto job = Find(group_->path(), 0);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->root, pid);
  EXPECT_EQ(job->group->path(), group_->path());
}

TEST_P(JobKernelTest, PidHasItsGroup) {
  const pid_t pid = AddTask();
  const auto job = Find("", pid);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->group->path(), group_->path());
  EXPECT_EQ(job->group->hierarchy(), hierarchy());
}

TEST_P(JobKernelTest, PidOfTheGroupNamesTheTree) {
  AddTask();
  const pid_t pid = AddTask();
  const auto job = Find(group_->path(), pid);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->root, pid);
}

TEST_P(JobKernelTest, PidOutsideTheGroupIsRefused) {
  AddTask();
  const auto elsewhere = TestCgroup::Create(GetParam());
  ASSERT_TRUE(elsewhere.ok()) << elsewhere.status();
  const pid_t pid = Fork();
  ASSERT_TRUE((*elsewhere)->Add(pid).ok());

  const auto job = Find(group_->path(), pid);

  EXPECT_EQ(job.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(job.status().message(),
                                absl::StrCat("process ", pid, " (")))
      << job.status();
}

TEST_P(JobKernelTest, SeveralTreesAreRefused) {
  AddTask();
  AddTask();
  EXPECT_EQ(Find(group_->path(), 0).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_P(JobKernelTest, EmptyGroupIsNotFound) {
  EXPECT_EQ(Find(group_->path(), 0).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_P(JobKernelTest, MissingGroupIsNotFound) {
  EXPECT_EQ(Find(group_->path() + "/missing", 0).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_P(JobKernelTest, RootGroupIsRefused) {
  const auto job = Find(*CgroupMount(GetParam()), 0);
  EXPECT_EQ(job.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(job.status().message(), "mkdir"))
      << job.status();
}

TEST_P(JobKernelTest, PidIsNotLookedForInTheOtherHierarchy) {
  const pid_t pid = AddTask();
  v1::DumpRequest request;
  request.set_pid(pid);
  request.set_hierarchy(hierarchy() == v1::HIERARCHY_V1 ? v1::HIERARCHY_V2
                                                        : v1::HIERARCHY_V1);
  const auto job = FindJob(request, ProcFs::Real());
  // It may be in a group of that one because the test itself is.
  if (job.ok()) {
    EXPECT_EQ(job->group->hierarchy(), request.hierarchy());
  } else {
    EXPECT_EQ(job.status().code(), absl::StatusCode::kFailedPrecondition);
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, JobKernelTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

}  // namespace
}  // namespace ckpt::checkpoint
