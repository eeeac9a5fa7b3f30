#include "agent/worker_pool.h"

#include <atomic>
#include <memory>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace ckpt::agent {
namespace {

// Keeps a thread busy until it is let go.
struct Blocker {
  std::function<void()> Work() {
    return [this] {
      begun.Notify();
      released.WaitForNotification();
    };
  }
  absl::Notification begun, released;
};

TEST(WorkerPoolTest, DoesAllThatItTakes) {
  std::atomic<int> done{0};
  {
    WorkerPool pool({.threads = 3, .waiting = 100});
    for (int i = 0; i < 50; ++i) {
      ASSERT_EQ(pool.Submit([&done] { ++done; }), absl::OkStatus());
    }
  }
  EXPECT_EQ(done, 50);
}

TEST(WorkerPoolTest, RefusesMoreThanItsLimit) {
  Blocker blocker;
  std::atomic<int> done{0};
  WorkerPool pool({.threads = 1, .waiting = 1});
  ASSERT_EQ(pool.Submit(blocker.Work()), absl::OkStatus());
  blocker.begun.WaitForNotification();
  ASSERT_EQ(pool.Submit([&done] { ++done; }), absl::OkStatus());
  EXPECT_TRUE(absl::IsUnavailable(pool.Submit([&done] { ++done; })));
  blocker.released.Notify();
  EXPECT_TRUE(pool.AwaitIdle(absl::InfiniteDuration()));
  EXPECT_EQ(done, 1);
}

TEST(WorkerPoolTest, CallerWithMuchToDoDoesNotKeepOthersWaiting) {
  Blocker one, two;
  WorkerPool pool({.threads = 3, .waiting = 4, .share = 2});
  ASSERT_EQ(pool.Submit(one.Work(), "a"), absl::OkStatus());
  ASSERT_EQ(pool.Submit(two.Work(), "a"), absl::OkStatus());
  one.begun.WaitForNotification();
  two.begun.WaitForNotification();
  std::atomic<int> done{0};
  ASSERT_EQ(pool.Submit([&done] { ++done; }, "a"), absl::OkStatus());

  absl::Notification served;
  ASSERT_EQ(pool.Submit([&served] { served.Notify(); }, "b"), absl::OkStatus());
  served.WaitForNotification();
  EXPECT_EQ(done, 0);

  one.released.Notify();
  two.released.Notify();
  EXPECT_TRUE(pool.AwaitIdle(absl::InfiniteDuration()));
  EXPECT_EQ(done, 1);
}

TEST(WorkerPoolTest, CallerHasOnlyHalfOfTheQueue) {
  Blocker blocker;
  std::atomic<int> done{0};
  WorkerPool pool({.threads = 2, .waiting = 2, .share = 1});
  ASSERT_EQ(pool.Submit(blocker.Work(), "a"), absl::OkStatus());
  blocker.begun.WaitForNotification();
  ASSERT_EQ(pool.Submit([&done] { ++done; }, "a"), absl::OkStatus());
  EXPECT_TRUE(absl::IsUnavailable(pool.Submit([&done] { ++done; }, "a")));
  EXPECT_EQ(pool.Submit([&done] { ++done; }, "b"), absl::OkStatus());
  blocker.released.Notify();
  EXPECT_TRUE(pool.AwaitIdle(absl::InfiniteDuration()));
  EXPECT_EQ(done, 2);
}

TEST(WorkerPoolTest, WorksInParallel) {
  Blocker one, other;
  WorkerPool pool({.threads = 2});
  ASSERT_EQ(pool.Submit(one.Work()), absl::OkStatus());
  ASSERT_EQ(pool.Submit(other.Work()), absl::OkStatus());
  one.begun.WaitForNotification();
  other.begun.WaitForNotification();
  one.released.Notify();
  other.released.Notify();
}

TEST(WorkerPoolTest, ClosedTakesNothingAndFinishesWhatItHas) {
  Blocker blocker;
  WorkerPool pool({.threads = 1, .waiting = 5});
  ASSERT_EQ(pool.Submit(blocker.Work()), absl::OkStatus());
  std::atomic<int> done{0};
  ASSERT_EQ(pool.Submit([&done] { ++done; }), absl::OkStatus());
  pool.Close();
  EXPECT_TRUE(absl::IsUnavailable(pool.Submit([&done] { ++done; })));
  EXPECT_FALSE(pool.AwaitIdle(absl::ZeroDuration()));
  blocker.released.Notify();
  EXPECT_TRUE(pool.AwaitIdle(absl::InfiniteDuration()));
  EXPECT_EQ(done, 1);
}

TEST(WorkerPoolTest, IsIdleOnlyOnceWorkHasLetGoOfWhatItHeld) {
  WorkerPool pool({.threads = 1, .waiting = 1});
  auto held = std::make_shared<int>(0);
  const std::weak_ptr<int> watched = held;
  ASSERT_EQ(pool.Submit([held = std::move(held)] {}), absl::OkStatus());
  EXPECT_TRUE(pool.AwaitIdle(absl::InfiniteDuration()));
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace ckpt::agent
