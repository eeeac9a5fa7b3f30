// Strikes migrations between two nodes, one fault at one fault point each, and
// looks afterwards, when both nodes are back, whether the job is there once.
//
//   MigrateCampaignOptions options;
//   options.runs = 100;
//   CKPT_ASSIGN_OR_RETURN(auto counts, RunMigrateCampaign(options));
//   EXPECT_EQ(counts.wrong, 0);
//
// A run is right when, within a limit, the journals of both nodes have come to
// an end, all processes of the job run at one node and none is at the other, no
// group is frozen, no image is left, and the job's own check goes on; and no
// older state of it has run after a newer one, at either node.  Where
// nothing runs, exactly one whole image must be left, which the error named.
#ifndef CKPT_TESTS_CAMPAIGN_MIGRATE_CAMPAIGN_H_
#define CKPT_TESTS_CAMPAIGN_MIGRATE_CAMPAIGN_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ckpt {

struct MigrateCampaignOptions {
  int runs = 100;
  uint64_t seed = 1;     // the same seed: the same faults at the same points
  int only = -1;         // this run alone, counted from 0
  bool verbose = false;  // a line on stdout for each run
  absl::Duration limit = absl::Minutes(1);  // until all is settled
};

struct MigrateCampaignCounts {
  int runs = 0;
  int struck = 0;  // the fault hit something
  int missed = 0;  // the migration did not come by the point, or too early
  // Of the struck: where the job is afterwards.
  int moved = 0;
  int stayed = 0;
  int image = 0;
  int wrong = 0;                    // of all
  std::map<std::string, int> hits;  // struck, by kind of fault
};

// What went wrong is told on stderr as it happens.  The error of a campaign
// that could not be held.
absl::StatusOr<MigrateCampaignCounts> RunMigrateCampaign(
    const MigrateCampaignOptions& options);

std::string RenderCounts(const MigrateCampaignCounts& counts);

}  // namespace ckpt

#endif  // CKPT_TESTS_CAMPAIGN_MIGRATE_CAMPAIGN_H_
