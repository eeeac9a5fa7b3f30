#include "agent/end_limit.h"

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/cancellation.h"
#include "gtest/gtest.h"

namespace ckpt::agent {
namespace {

constexpr absl::Duration kLong = absl::Hours(1);

TEST(EndLimitTest, WhatDoesNotEndIsEnded) {
  const Cancellation hurry;
  absl::Notification expired;
  EndLimit limit([&expired] { expired.Notify(); });
  limit.Arm(absl::ZeroDuration(), hurry, kLong);
  expired.WaitForNotification();
}

TEST(EndLimitTest, HurryShortensTheLimit) {
  Cancellation hurry;
  absl::Notification expired;
  EndLimit limit([&expired] { expired.Notify(); });
  limit.Arm(kLong, hurry, absl::ZeroDuration());
  hurry.Cancel();
  expired.WaitForNotification();
}

TEST(EndLimitTest, WhatEndsInTimeIsLeftAlone) {
  const Cancellation hurry;
  EndLimit armed([] { FAIL() << "it has ended"; });
  armed.Arm(kLong, hurry, kLong);
  const EndLimit never_armed([] { FAIL() << "it never began to end"; });
}

}  // namespace
}  // namespace ckpt::agent
