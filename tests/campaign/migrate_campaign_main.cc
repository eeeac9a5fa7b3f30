// See migrate_campaign.h; tools/migrate_campaign builds and runs it.

#include <cstdio>
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "tests/campaign/migrate_campaign.h"
#include "tests/support/job.h"

namespace ckpt {
namespace {

constexpr char kUsage[] =
    "usage: migrate_campaign [--runs N] [--seed N] [--only N]\n";

// False when the value makes no sense.
bool SetOption(absl::string_view name, absl::string_view value,
               MigrateCampaignOptions& options) {
  if (name == "--runs") {
    return absl::SimpleAtoi(value, &options.runs) && options.runs >= 0;
  }
  if (name == "--only") {
    return absl::SimpleAtoi(value, &options.only) && options.only >= 0;
  }
  return name == "--seed" && absl::SimpleAtoi(value, &options.seed);
}

int Main(int argc, char** argv) {
  BecomeReaper();
  MigrateCampaignOptions options;
  options.verbose = true;
  options.seed = std::random_device()();
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 == argc || !SetOption(argv[i], argv[i + 1], options)) {
      std::fputs(kUsage, stderr);
      return 64;
    }
  }
  std::printf("seed      %6lu\n", options.seed);
  std::fflush(stdout);
  const auto counts = RunMigrateCampaign(options);
  if (!counts.ok()) {
    std::fprintf(stderr, "migrate_campaign: %s\n",
                 counts.status().ToString().c_str());
    return 1;
  }
  std::fputs(RenderCounts(*counts).c_str(), stdout);
  return counts->wrong == 0 ? 0 : 1;
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) { return ckpt::Main(argc, argv); }
