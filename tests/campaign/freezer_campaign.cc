// See campaign.h; tools/freezer_campaign builds and runs it.

#include <cstdio>
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "tests/campaign/campaign.h"

namespace ckpt {
namespace {

constexpr char kUsage[] =
    "usage: freezer_campaign [--cycles N] [--kills N] [--workers N]\n"
    "                        [--freezer v1|v2|both] [--seed N]\n";

// False when the value makes no sense.
bool SetOption(absl::string_view name, absl::string_view value,
               CampaignOptions& options) {
  if (name == "--cycles") {
    return absl::SimpleAtoi(value, &options.cycles) && options.cycles >= 0;
  }
  if (name == "--kills") {
    return absl::SimpleAtoi(value, &options.kills) && options.kills >= 0;
  }
  if (name == "--workers") {
    return absl::SimpleAtoi(value, &options.workers) && options.workers > 0;
  }
  if (name == "--seed") return absl::SimpleAtoi(value, &options.seed);
  if (name != "--freezer") return false;
  if (value == "v1") options.versions = {CgroupVersion::kV1};
  if (value == "v2") options.versions = {CgroupVersion::kV2};
  return value == "v1" || value == "v2" || value == "both";
}

int Main(int argc, char** argv) {
  CampaignOptions options;
  options.seed = std::random_device()();
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 == argc || !SetOption(argv[i], argv[i + 1], options)) {
      std::fputs(kUsage, stderr);
      return 64;
    }
  }
  std::printf("seed      %6lu\n", options.seed);
  std::fflush(stdout);
  const auto counts = RunCampaign(options);
  if (!counts.ok()) {
    std::fprintf(stderr, "freezer_campaign: %s\n",
                 counts.status().ToString().c_str());
    return 1;
  }
  std::fputs(RenderCounts(*counts).c_str(), stdout);
  return counts->wrong == 0 ? 0 : 1;
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) { return ckpt::Main(argc, argv); }
