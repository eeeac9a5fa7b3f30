// A short campaign; tools/migrate_campaign runs long ones.
#include "tests/campaign/migrate_campaign.h"

#include <cstdint>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {
namespace {

// Eight kinds of faults at eight points, three of them after the decision, four
// on either freezer.
constexpr int kRuns = 8;
constexpr uint64_t kSeed = 13904;

TEST(MigrateCampaignTest, OneCopyRunsWhateverStrikes) {
  for (const CgroupVersion version : {CgroupVersion::kV1, CgroupVersion::kV2}) {
    const std::string why = WhyNoCgroup(version);
    if (!why.empty()) GTEST_SKIP() << why;
  }
  BecomeReaper();
  MigrateCampaignOptions options;
  options.runs = kRuns;
  options.seed = kSeed;
  const auto counts = RunMigrateCampaign(options);
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_EQ(counts->wrong, 0) << "seed " << kSeed;
  EXPECT_EQ(counts->runs, kRuns);
  EXPECT_GT(counts->struck, 0);
}

}  // namespace
}  // namespace ckpt
