// See migrate_campaign.h; tools/migrate_campaign builds and runs it.

#include "absl/strings/string_view.h"
#include "tests/campaign/campaign_main.h"
#include "tests/campaign/migrate_campaign.h"
#include "tests/support/job.h"

namespace ckpt {
namespace {

constexpr char kUsage[] =
    "usage: migrate_campaign [--runs N] [--seed N] [--only N]\n";

int Main(int argc, char** argv) {
  BecomeReaper();
  MigrateCampaignOptions options;
  options.verbose = true;
  return CampaignMain(
      argc, argv,
      {.name = "migrate_campaign",
       .usage = kUsage,
       .seed = &options.seed,
       .set =
           [&options](absl::string_view name, absl::string_view value) {
             if (name == "--runs") return SetNumber(value, 0, options.runs);
             return name == "--only" && SetNumber(value, 0, options.only);
           },
       .run = [&options] { return Outcome(RunMigrateCampaign(options)); }});
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) { return ckpt::Main(argc, argv); }
