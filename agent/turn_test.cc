#include "agent/turn.h"

#include <thread>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace ckpt::agent {
namespace {

TEST(TurnTest, WaitsUntilWhatItStartedIsDone) {
  Turn turn;
  std::thread reactor;
  const auto never = [] { FAIL() << "it was not over its limit"; };
  EXPECT_TRUE(turn.Take(
      [&] { reactor = std::thread([&turn] { turn.Done(/*ok=*/true); }); },
      absl::InfiniteDuration(), never));
  reactor.join();
  EXPECT_FALSE(turn.Take(
      [&] { reactor = std::thread([&turn] { turn.Done(/*ok=*/false); }); },
      absl::InfiniteDuration(), never));
  reactor.join();
}

TEST(TurnTest, WhoSaysNothingIsCutOff) {
  Turn turn;
  EXPECT_FALSE(turn.Take([] {}, absl::ZeroDuration(),
                         [&turn] { turn.Done(/*ok=*/false); }));
}

}  // namespace
}  // namespace ckpt::agent
