// A short campaign; tools/migrate_campaign runs long ones.
#include "tests/campaign/migrate_campaign.h"

#include <string>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {
namespace {

TEST(MigrateCampaignTest, OneCopyRunsWhateverStrikes) {
  for (const CgroupVersion version : {CgroupVersion::kV1, CgroupVersion::kV2}) {
    const std::string why = WhyNoCgroup(version);
    if (!why.empty()) GTEST_SKIP() << why;
  }
  BecomeReaper();
  MigrateCampaignOptions options;
  options.runs = 12;
  options.seed = 12;
  options.limit = absl::Minutes(3);
  const auto counts = RunMigrateCampaign(options);
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_EQ(counts->wrong, 0) << "seed " << options.seed;
  EXPECT_EQ(counts->runs, 12);
  EXPECT_GT(counts->struck, 0);
}

}  // namespace
}  // namespace ckpt
