// What the main() of each campaign does: options from the command line, the
// seed first, so that it can be repeated, and the counts in the end.
//
//   int main(int argc, char** argv) {
//     ckpt::CampaignOptions options;
//     return ckpt::CampaignMain(
//         argc, argv,
//         {.name = "freezer_campaign",
//          .usage = "usage: freezer_campaign [--seed N]\n",
//          .seed = &options.seed,
//          .set = [&](absl::string_view name, absl::string_view value) {...},
//          .run = [&] { return ckpt::Outcome(ckpt::RunCampaign(options)); }});
//   }
#ifndef CKPT_TESTS_CAMPAIGN_CAMPAIGN_MAIN_H_
#define CKPT_TESTS_CAMPAIGN_CAMPAIGN_MAIN_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ckpt {

struct CampaignOutcome {
  std::string counts;  // for people
  int wrong = 0;
};

// Of the counts of a campaign, which has a RenderCounts() for them.
template <typename Counts>
absl::StatusOr<CampaignOutcome> Outcome(const absl::StatusOr<Counts>& counts) {
  if (!counts.ok()) return counts.status();
  return CampaignOutcome{RenderCounts(*counts), counts->wrong};
}

struct CampaignProgram {
  const char* name;
  const char* usage;
  uint64_t* seed;  // --seed, or a random one
  // Another option and its value; false when it makes no sense.
  std::function<bool(absl::string_view name, absl::string_view value)> set;
  std::function<absl::StatusOr<CampaignOutcome>()> run;
};

// The exit status: 0; 1 when anything was wrong, or the campaign could not be
// held; 64 for a wrong command line.
int CampaignMain(int argc, char** argv, const CampaignProgram& program);

// Value of an option that is a number of at least `least`.
bool SetNumber(absl::string_view value, int least, int& number);

}  // namespace ckpt

#endif  // CKPT_TESTS_CAMPAIGN_CAMPAIGN_MAIN_H_
