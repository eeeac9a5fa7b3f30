// See campaign.h; tools/freezer_campaign builds and runs it.

#include "absl/strings/string_view.h"
#include "tests/campaign/campaign.h"
#include "tests/campaign/campaign_main.h"

namespace ckpt {
namespace {

constexpr char kUsage[] =
    "usage: freezer_campaign [--cycles N] [--kills N] [--workers N]\n"
    "                        [--freezer v1|v2|both] [--seed N]\n";

bool SetOption(absl::string_view name, absl::string_view value,
               CampaignOptions& options) {
  if (name == "--cycles") return SetNumber(value, 0, options.cycles);
  if (name == "--kills") return SetNumber(value, 0, options.kills);
  if (name == "--workers") return SetNumber(value, 1, options.workers);
  if (name != "--freezer") return false;
  if (value == "v1") options.versions = {CgroupVersion::kV1};
  if (value == "v2") options.versions = {CgroupVersion::kV2};
  return value == "v1" || value == "v2" || value == "both";
}

int Main(int argc, char** argv) {
  CampaignOptions options;
  return CampaignMain(
      argc, argv,
      {.name = "freezer_campaign",
       .usage = kUsage,
       .seed = &options.seed,
       .set =
           [&options](absl::string_view name, absl::string_view value) {
             return SetOption(name, value, options);
           },
       .run = [&options] { return Outcome(RunCampaign(options)); }});
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) { return ckpt::Main(argc, argv); }
