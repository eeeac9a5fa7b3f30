// Freezes and thaws fork storms with the real ckpt many times, and kills ckpt
// at random moments while it does so; holds every report, and what is left
// behind, against the kernel.
//
//   CampaignOptions options;
//   options.cycles = options.kills = 1000;
//   const CampaignCounts counts = RunCampaign(options);
//   EXPECT_EQ(counts.wrong, 0);
//
// After a kill, within two seconds either a whole report was printed and the
// group is FROZEN, or none was and the group is as it was before; no process
// and no journal entry of the killed one is left, and no member of the storm
// is lost.
#ifndef CKPT_TESTS_CAMPAIGN_CAMPAIGN_H_
#define CKPT_TESTS_CAMPAIGN_CAMPAIGN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {

struct CampaignOptions {
  int cycles = 1000;  // of all versions together
  int kills = 1000;
  int workers = 2;  // of the storm
  // One after the other.
  std::vector<CgroupVersion> versions = {CgroupVersion::kV1,
                                         CgroupVersion::kV2};
  uint64_t seed = 1;   // the same seed: the same kills, as far as time allows
  int max_wrong = 10;  // it ends early then
  // What a killed ckpt has left is undone by then: the promise of
  // docs/freezer.md, of a machine that has time.
  absl::Duration recovery = absl::Seconds(2);
};

struct CampaignCounts {
  int cycles = 0;
  int cycles_from_frozen = 0;  // of them: the group was frozen already
  int kills = 0;
  int kills_from_frozen = 0;
  int kills_at_fault_point = 0;
  int kills_of_thaw = 0;  // of `ckpt thaw`; the others are of `ckpt freeze`
  int too_late = 0;       // ckpt had ended by itself
  int before_report = 0;  // nothing was printed: the group is as it was
  int after_report = 0;   // a whole report was printed: it holds
  int recovered = 0;      // what the dead had begun was undone or ended for it
  int wrong = 0;
};

// What went wrong is told on stderr as it happens.  The error of a campaign
// that could not be held at all.
absl::StatusOr<CampaignCounts> RunCampaign(const CampaignOptions& options);

std::string RenderCounts(const CampaignCounts& counts);

}  // namespace ckpt

#endif  // CKPT_TESTS_CAMPAIGN_CAMPAIGN_H_
