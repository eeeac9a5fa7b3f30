#include "checkpoint/task_owner.h"

#include <unistd.h>

#include <string>

#include "absl/strings/match.h"
#include "base/fake_proc.h"
#include "gtest/gtest.h"

namespace ckpt::checkpoint {
namespace {

constexpr char kMap[] = "         0          0 4294967295\n";
constexpr uid_t kUser = 1000;

class TaskOwnerTest : public testing::Test {
 protected:
  TaskOwnerTest() {
    Add(::getpid(), 1, "0\t0\t0\t0");
    Add(100, 1, "1000\t1000\t1000\t1000");
    Add(101, 100, "1000\t1000\t1000\t1000");
  }

  void Add(pid_t pid, pid_t parent, const std::string& ids) {
    FakeTask& task = proc_.AddProcess(pid, parent, "job");
    task.status["Uid"] = ids;
    task.files["uid_map"] = kMap;
  }

  void ExpectRefused(const std::string& why) {
    const absl::Status status = CheckOwner(proc_, {100, 101}, kUser);
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_TRUE(absl::StrContains(status.message(), why)) << status;
  }

  FakeProcFs proc_;
};

TEST_F(TaskOwnerTest, TasksOfTheUserAreItsOwn) {
  EXPECT_EQ(CheckOwner(proc_, {100, 101}, kUser), absl::OkStatus());
}

TEST_F(TaskOwnerTest, ProcessOfAnotherUserIsNamed) {
  proc_.Find(101)->status["Uid"] = "1001\t1001\t1001\t1001";
  ExpectRefused("process 101 (job) has the user ids 1001");
}

TEST_F(TaskOwnerTest, EachOfTheFourIdsCounts) {
  for (const char* const ids : {"0\t1000\t1000\t1000", "1000\t0\t1000\t1000",
                                "1000\t1000\t0\t1000", "1000\t1000\t1000\t0"}) {
    proc_.Find(100)->status["Uid"] = ids;
    ExpectRefused("process 100 (job)");
  }
}

TEST_F(TaskOwnerTest, EachThreadCounts) {
  proc_.AddThread(102, 101).status["Uid"] = "0\t0\t0\t0";
  ExpectRefused("process 102 (job)");
}

TEST_F(TaskOwnerTest, UserNamespaceOfItsOwnIsRefused) {
  proc_.Find(101)->files["uid_map"] = "         0       1000          1\n";
  ExpectRefused("user namespace");
}

TEST_F(TaskOwnerTest, WhatCannotBeReadIsNotItsOwn) {
  proc_.Find(101)->status["Uid"] = "";
  ExpectRefused("process 101");
}

TEST_F(TaskOwnerTest, ProcessThatHasEndedIsPassedOver) {
  proc_.Remove(101);
  EXPECT_EQ(CheckOwner(proc_, {100, 101}, kUser), absl::OkStatus());
}

}  // namespace
}  // namespace ckpt::checkpoint
