// A process with threads in two v2 groups: freezing, listing and killing go by
// processes and are not confused.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/proc.h"
#include "freezer/cgroup.h"
#include "freezer/freezer.h"
#include "freezer/kernel_names.h"
#include "freezer/kill.h"
#include "gtest/gtest.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt::freezer {
namespace {

constexpr absl::Duration kPlenty = absl::Minutes(1);

void* Sleep(void*) {
  for (;;) ::pause();
}

class ThreadedGroupTest : public testing::Test {
 protected:
  void SetUp() override {
    BecomeReaper();
    auto directory = TestCgroup::Create(CgroupVersion::kV2);
    ASSERT_TRUE(directory.ok()) << directory.status();
    directory_ = *std::move(directory);
    auto below = directory_->CreateChild("threads");
    ASSERT_TRUE(below.ok()) << below.status();
    below_ = *std::move(below);
    auto group = OpenCgroup(directory_->path());
    auto threads = OpenCgroup(below_->path());
    ASSERT_TRUE(group.ok() && threads.ok());
    group_ = *std::move(group);
    threads_ = *std::move(threads);
    ASSERT_TRUE(threads_->Write(kV2TypeFile, kV2Threaded).ok());
    ASSERT_NO_FATAL_FAILURE(StartProcess());
  }

  // Before its groups are emptied: each of them has a part of it only.
  void TearDown() override {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
  }

  // One thread stays in the group, another goes to the one below.
  void StartProcess() {
    pid_ = ::fork();
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) {
      pthread_t thread;
      if (::pthread_create(&thread, nullptr, &Sleep, nullptr) != 0) ::_exit(1);
      Sleep(nullptr);
    }
    ASSERT_TRUE(group_->AddProcess(pid_).ok());
    const absl::Time deadline = Clock::Real().Now() + kPlenty;
    std::vector<pid_t> tids;
    while (tids.size() < 2) {
      ASSERT_LT(Clock::Real().Now(), deadline) << "there is no second thread";
      tids = *ProcFs::Real().Threads(pid_);
    }
    const absl::Status moved =
        threads_->Write(kV2ThreadsFile, absl::StrCat(tids.back()));
    ASSERT_TRUE(moved.ok()) << moved;
  }

  static KillOptions Soon() {
    return {.deadline = Clock::Real().Now() + kPlenty};
  }

  std::unique_ptr<TestCgroup> directory_;
  std::unique_ptr<TestCgroup> below_;  // destroyed first
  std::unique_ptr<Cgroup> group_;
  std::unique_ptr<Cgroup> threads_;
  pid_t pid_ = 0;
};

TEST_F(ThreadedGroupTest, ProcessIsListedOnce) {
  EXPECT_EQ(*threads_->Processes(), std::vector<pid_t>{pid_});
  EXPECT_EQ(*group_->SubtreeProcesses(), std::vector<pid_t>{pid_});
}

TEST_F(ThreadedGroupTest, BothGroupsFreezeAndTheThreadsAreNamed) {
  for (Cgroup* group : {threads_.get(), group_.get()}) {
    Freezer freezer(*group, ProcFs::Real(), Clock::Real());
    const auto report = freezer.Freeze(
        {.deadline = Clock::Real().Now() + kPlenty, .list_tasks = true});
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_GE(report->tasks_size(), 1);
    for (const v1::TaskInfo& task : report->tasks()) {
      EXPECT_EQ(task.pid(), pid_);
      EXPECT_TRUE(task.frozen());
    }
  }
}

TEST_F(ThreadedGroupTest, ProcessIsKilledAndCountedOnce) {
  Freezer freezer(*group_, ProcFs::Real(), Clock::Real());
  const auto report = KillGroup(freezer, SIGKILL, Soon());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->processes(), 1);
  EXPECT_TRUE(report->empty());
}

TEST_F(ThreadedGroupTest, GroupOfThreadsIsNotKilled) {
  Freezer freezer(*threads_, ProcFs::Real(), Clock::Real());
  for (const int signal : {SIGKILL, SIGTERM}) {
    const auto report = KillGroup(freezer, signal, Soon());
    EXPECT_EQ(report.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_TRUE(absl::StrContains(report.status().message(), "group above"))
        << report.status();
  }
  EXPECT_EQ(*group_->SubtreeProcesses(), std::vector<pid_t>{pid_});
}

}  // namespace
}  // namespace ckpt::freezer
