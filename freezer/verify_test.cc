// What only a fake kernel can be made to do; the contract suite has the rest.
#include "freezer/verify.h"

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "base/fake_clock.h"
#include "freezer/fake_cgroup.h"
#include "gtest/gtest.h"

namespace ckpt::freezer {
namespace {

class VerifyTest : public testing::Test {
 protected:
  VerifyTest()
      : kernel_(v1::HIERARCHY_V2, clock_),
        group_(kernel_.MakeGroup("/job")),
        root_(kernel_.AddProcess("/job", {})),
        look_(kernel_.proc().before_look) {}

  absl::Status Compare() {
    return CompareTreeWithGroup(*group_, kernel_.proc(), {.root = root_},
                                report_)
        .status();
  }

  FakeClock clock_;
  FakeKernel kernel_;
  const std::unique_ptr<Cgroup> group_;
  const pid_t root_;
  const std::function<void()> look_;
  v1::FreezeReport report_;
};

TEST_F(VerifyTest, TreeThatSettlesIsComparedThen) {
  int looks = 0;
  kernel_.proc().before_look = [&] {
    if (++looks <= 3) kernel_.AddProcess("/job", {.ppid = root_});
    look_();
  };
  const absl::Status status = Compare();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(report_.threads(), 4);
}

TEST_F(VerifyTest, TreeThatKeepsChangingAborts) {
  // One child after the other: each ends when the next begins.
  pid_t child = kernel_.AddProcess("/job", {.ppid = root_});
  bool inside = false;
  kernel_.proc().before_look = [&] {
    look_();
    if (inside) return;
    inside = true;
    const pid_t next = kernel_.AddProcess("/job", {.ppid = root_});
    kernel_.Kill(child);
    kernel_.proc().Remove(child);
    child = next;
    inside = false;
  };
  const absl::Status status = Compare();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
}

// Number and group are the same in every round; only the task is another.
TEST_F(VerifyTest, TaskWhoseNumberIsGivenAgainIsNoticed) {
  const pid_t child = kernel_.AddProcess("/job", {.ppid = root_});
  kernel_.proc().before_look = [&] {
    look_();
    ++kernel_.proc().Find(child)->stat.start_ticks;
  };
  const absl::Status status = Compare();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
}

TEST_F(VerifyTest, TaskThatEndsWhileItIsLookedAtIsNoStray) {
  kernel_.MakeGroup("/other");
  const pid_t child = kernel_.AddProcess("/other", {.ppid = root_});
  EXPECT_EQ(Compare().code(), absl::StatusCode::kFailedPrecondition);
  kernel_.Kill(child);  // a zombie now, as its parent is one of ours
  const absl::Status status = Compare();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(VerifyTest, MessageSaysWhatToDo) {
  kernel_.AddProcess("/job", {.pid = 7'000'000, .comm = "intruder"});
  const absl::Status status = Compare();
  EXPECT_TRUE(
      absl::StrContains(status.message(), "7000000 (intruder, in /job)"))
      << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "move them out of it"))
      << status;
}

}  // namespace
}  // namespace ckpt::freezer
