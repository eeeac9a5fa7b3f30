// A short campaign; tools/freezer_campaign runs long ones.

#include "tests/campaign/campaign.h"

#include "gtest/gtest.h"

namespace ckpt {
namespace {

TEST(CampaignTest, LosesNothingOnEitherFreezer) {
  CampaignOptions options;
  options.cycles = 40;
  options.kills = 40;
  options.recovery = absl::Minutes(1);
  options.seed =
      static_cast<uint64_t>(testing::UnitTest::GetInstance()->random_seed());
  const auto counts = RunCampaign(options);
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_EQ(counts->wrong, 0) << "seed " << options.seed;
  EXPECT_EQ(counts->cycles, 40);
  EXPECT_EQ(counts->kills, 40);
  EXPECT_EQ(counts->before_report + counts->after_report, 40);
  EXPECT_GT(counts->before_report, 0);
}

}  // namespace
}  // namespace ckpt
