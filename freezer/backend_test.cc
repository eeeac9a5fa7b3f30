#include "freezer/backend.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/fake_clock.h"
#include "freezer/fake_cgroup.h"
#include "freezer/freezer.h"
#include "gtest/gtest.h"

namespace ckpt::freezer {
namespace {

class BackendTest : public testing::Test {
 protected:
  // Freezes "/job" of `kernel` within `limit` of simulated time.
  absl::StatusOr<v1::FreezeReport> Freeze(FakeKernel& kernel,
                                          absl::Duration limit) {
    const auto group = kernel.OpenGroup("/job");
    Freezer freezer(*group, kernel.proc(), clock_);
    return freezer.Freeze({.deadline = clock_.Now() + limit});
  }

  static int64_t Count(const FakeKernel& kernel, const std::string& write) {
    return std::count(kernel.writes().begin(), kernel.writes().end(), write);
  }

  FakeClock clock_;
};

constexpr char kWriteFrozen[] = "/job/freezer.state=FROZEN";
constexpr char kWriteThawed[] = "/job/freezer.state=THAWED";

class V1BackendTest : public BackendTest {
 protected:
  V1BackendTest() : kernel_(v1::HIERARCHY_V1, clock_) {
    kernel_.MakeGroup("/job");
  }
  FakeKernel kernel_;
};

TEST_F(V1BackendTest, TaskThatMissedTheRequestIsCaughtByWritingItAgain) {
  kernel_.AddProcess("/job", {.freeze = {.after_writes = 3}});

  const auto report = Freeze(kernel_, absl::Seconds(1));

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(Count(kernel_, kWriteFrozen), 4);
  EXPECT_EQ(report->refreezes(), 3);
  EXPECT_EQ(Count(kernel_, kWriteThawed), 0);
}

TEST_F(V1BackendTest, TaskThatMissesEveryRequestIsCaughtByAShortThaw) {
  kernel_.AddProcess("/job", {.freeze = {.after_thaws = 1}});

  const auto report = Freeze(kernel_, absl::Seconds(10));

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(Count(kernel_, kWriteThawed), 1);
  EXPECT_EQ(report->refreezes(), 50);
  // 50 pauses of 10 ms, 62 ms of shorter ones before them, and the thaw.
  EXPECT_LT(report->seconds(), 0.6);
}

TEST_F(V1BackendTest, EveryFiftiethPollThawsForTenMilliseconds) {
  kernel_.AddProcess("/job", {.freeze = {.after_thaws = 3}});
  std::vector<absl::Time> thaws;
  std::vector<absl::Duration> thawed_for;
  bool thawed = false;
  clock_.on_sleep = [&] {
    const bool now = kernel_.writes().back() == kWriteThawed;
    if (now && !thawed) {
      thaws.push_back(clock_.Now());
      thawed_for.push_back(absl::ZeroDuration());
    }
    thawed = now;
  };

  const auto report = Freeze(kernel_, absl::Seconds(10));

  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(thaws.size(), 3u);
  EXPECT_EQ(report->refreezes(), 150);
  // 50 polls of 10 ms, and the thaw itself.
  EXPECT_EQ(thaws[2] - thaws[1], absl::Milliseconds(510));
}

TEST_F(V1BackendTest, NeverWritesAnythingButFrozenAndThawed) {
  kernel_.AddProcess("/job", {.freeze = {.never = true}});

  EXPECT_FALSE(Freeze(kernel_, absl::Seconds(5)).ok());

  EXPECT_EQ(Count(kernel_, kWriteFrozen) + Count(kernel_, kWriteThawed),
            static_cast<int64_t>(kernel_.writes().size()));
  EXPECT_EQ(kernel_.writes().back(), kWriteThawed);
}

TEST_F(V1BackendTest, PollsQuicklyAtFirst) {
  kernel_.AddProcess("/job", {.freeze = {.after = absl::Microseconds(60)}});
  const auto report = Freeze(kernel_, absl::Seconds(1));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_DOUBLE_EQ(report->seconds(), 112.5e-6);  // 50 us, 62.5 us
}

TEST_F(V1BackendTest, LooksAgainAtOnceBeforeItPauses) {
  kernel_.AddProcess("/job", {.freeze = {.after_reads = 10}});
  const auto report = Freeze(kernel_, absl::Seconds(1));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->seconds(), 0);
}

// It would have the kernel go through all tasks again.
TEST_F(V1BackendTest, DoesNotWriteAgainWhileThePausesAreShort) {
  kernel_.AddProcess("/job", {.freeze = {.after = absl::Milliseconds(50)}});
  const auto report = Freeze(kernel_, absl::Seconds(1));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->refreezes(), 0);
}

TEST_F(V1BackendTest, CancellationEndsTheShortThaw) {
  kernel_.AddProcess("/job", {.freeze = {.never = true}});
  Cancellation cancel;
  clock_.on_sleep = [&] {
    if (kernel_.writes().back() == kWriteThawed) cancel.Cancel();
  };
  const auto group = kernel_.OpenGroup("/job");
  Freezer freezer(*group, kernel_.proc(), clock_);

  const auto report = freezer.Freeze({.cancel = &cancel});

  EXPECT_EQ(report.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(kernel_.writes().back(), kWriteThawed);
}

TEST_F(V1BackendTest, DoesNotWriteAgainAfterSomebodysThaw) {
  kernel_.AddProcess("/job", {.freeze = {.never = true}});
  const auto group = kernel_.OpenGroup("/job");
  const auto backend = MakeBackend(*group);
  bool rewritten = false;

  ASSERT_TRUE(backend
                  ->WaitForProgress(200, /*freezing=*/true, absl::Seconds(1),
                                    clock_, nullptr, rewritten)
                  .ok());

  EXPECT_FALSE(rewritten);
  EXPECT_TRUE(kernel_.writes().empty());
}

TEST_F(V1BackendTest, TellsTheOwnRequestFromTheEffectiveState) {
  kernel_.MakeGroup("/job/inner");
  kernel_.AddProcess("/job/inner", {.freeze = {.never = true}});
  const auto outer = kernel_.OpenGroup("/job");
  const auto inner = kernel_.OpenGroup("/job/inner");
  ASSERT_TRUE(MakeBackend(*outer)->Request(true).ok());

  const auto files = MakeBackend(*inner)->Read();

  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_FALSE(files->self_request);
  EXPECT_EQ(files->effective, v1::FREEZER_STATE_FREEZING);
}

class V2BackendTest : public BackendTest {
 protected:
  V2BackendTest() : kernel_(v1::HIERARCHY_V2, clock_) {
    kernel_.MakeGroup("/job");
  }
  FakeKernel kernel_;
};

TEST_F(V2BackendTest, WritesTheRequestOnceAndWaitsForTheEvent) {
  kernel_.AddProcess("/job", {.freeze = {.after = absl::Milliseconds(30)}});

  const auto report = Freeze(kernel_, absl::Seconds(1));

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(kernel_.writes(), std::vector<std::string>{"/job/cgroup.freeze=1"});
  EXPECT_EQ(report->refreezes(), 0);
  EXPECT_DOUBLE_EQ(report->seconds(), 0.030);  // and not a polling interval
}

TEST_F(V2BackendTest, LooksAgainSoonAndThenSeldomWithoutAnEvent) {
  kernel_.AddProcess("/job", {.freeze = {.after_reads = 14, .after = {}}});
  std::vector<absl::Time> looks;
  clock_.on_sleep = [&] { looks.push_back(clock_.Now()); };

  const auto report = Freeze(kernel_, absl::Seconds(1));

  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_GE(looks.size(), 13);
  EXPECT_LE(looks[1] - looks[0], absl::Milliseconds(1));
  EXPECT_EQ(looks[12] - looks[11], absl::Milliseconds(100));
}

TEST_F(V2BackendTest, FailedFreezeTakesTheRequestBack) {
  kernel_.AddProcess("/job", {.freeze = {.never = true}});
  const auto result = Freeze(kernel_, absl::Milliseconds(250));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(kernel_.writes().back(), "/job/cgroup.freeze=0");
}

TEST_F(V2BackendTest, RequestUnderAFrozenAncestorIsNotItsOwn) {
  kernel_.MakeGroup("/job/inner");
  const auto outer = kernel_.OpenGroup("/job");
  const auto inner = kernel_.OpenGroup("/job/inner");
  ASSERT_TRUE(MakeBackend(*outer)->Request(true).ok());

  const auto files = MakeBackend(*inner)->Read();

  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_FALSE(files->self_request);
  EXPECT_EQ(files->effective, v1::FREEZER_STATE_FROZEN);
}

}  // namespace
}  // namespace ckpt::freezer
