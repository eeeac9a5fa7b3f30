// The groups below that of a restored job, on the kernel's freezers.
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "restore/task_groups.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt::restore {
namespace {

class TaskGroupsTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    BecomeReaper();
    auto made = TestCgroup::Create(GetParam());
    ASSERT_TRUE(made.ok()) << made.status();
    directory_ = *std::move(made);
    auto group = freezer::OpenCgroup(directory_->path());
    ASSERT_TRUE(group.ok()) << group.status();
    target_ = *std::move(group);
  }

  void List(const std::string& path, pid_t pid = 0) {
    v1::ManifestTaskGroup& group = *job_.add_groups();
    group.set_cgroup(path);
    if (pid != 0) group.add_pids(pid);
  }

  bool IsThere(const std::string& path) const {
    return std::filesystem::exists(directory_->path() + "/" + path);
  }

  std::unique_ptr<TestCgroup> directory_;
  std::unique_ptr<freezer::Cgroup> target_;
  v1::ManifestJob job_;
};

TEST_P(TaskGroupsTest, GroupsThatWereMadeGoUnlessTheyAreKept) {
  List("a/b");
  {
    const auto groups = TaskGroups::Make(*target_, job_);
    ASSERT_TRUE(groups.ok()) << groups.status();
    EXPECT_TRUE(IsThere("a/b"));
  }
  EXPECT_FALSE(IsThere("a"));
  const auto groups = TaskGroups::Make(*target_, job_);
  ASSERT_TRUE(groups.ok()) << groups.status();
  (*groups)->Keep();
  EXPECT_EQ((*groups)->Remove(), absl::OkStatus());
  EXPECT_TRUE(IsThere("a/b"));
}

TEST_P(TaskGroupsTest, GroupThatWasThereStays) {
  const auto inner = directory_->CreateChild("a");
  ASSERT_TRUE(inner.ok());
  List("a/b");
  const auto groups = TaskGroups::Make(*target_, job_);
  ASSERT_TRUE(groups.ok()) << groups.status();
  EXPECT_EQ((*groups)->Remove(), absl::OkStatus());
  EXPECT_TRUE(IsThere("a"));
  EXPECT_FALSE(IsThere("a/b"));
}

TEST_P(TaskGroupsTest, PathThatLeadsOutOfTheTargetIsDamage) {
  for (const std::string path : {"../x", "/x", "a//b", "", "a/.."}) {
    job_.Clear();
    List(path);
    EXPECT_EQ(TaskGroups::Make(*target_, job_).status().code(),
              absl::StatusCode::kDataLoss)
        << path;
  }
  EXPECT_FALSE(IsThere("a"));
}

TEST_P(TaskGroupsTest, ProcessesArePutIntoTheirGroups) {
  Job::Options options;
  options.argv = {"/bin/sleep", "1000"};
  options.cgroups = {directory_.get()};
  const auto job = Job::Start(options);
  ASSERT_TRUE(job.ok()) << job.status();
  List("a", job->pid());
  const auto groups = TaskGroups::Make(*target_, job_);
  ASSERT_TRUE(groups.ok()) << groups.status();
  EXPECT_EQ((*groups)->processes(), 1);
  ASSERT_EQ((*groups)->Place({job->pid()}, ProcFs::Real()), absl::OkStatus());
  EXPECT_EQ(
      (*groups)->groups().front()->Processes().value_or(std::vector<pid_t>()),
      std::vector<pid_t>{job->pid()});
  (*groups)->Keep();
}

TEST_P(TaskGroupsTest, ProcessThatWasNotRestoredIsNamed) {
  List("a", 4711);
  const auto groups = TaskGroups::Make(*target_, job_);
  ASSERT_TRUE(groups.ok()) << groups.status();
  EXPECT_EQ((*groups)->Place({::getpid()}, ProcFs::Real()).code(),
            absl::StatusCode::kDataLoss);
}

INSTANTIATE_TEST_SUITE_P(Freezers, TaskGroupsTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const testing::TestParamInfo<CgroupVersion>& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

}  // namespace
}  // namespace ckpt::restore
