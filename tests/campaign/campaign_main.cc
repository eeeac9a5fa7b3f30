#include "tests/campaign/campaign_main.h"

#include <cinttypes>
#include <cstdio>
#include <random>

#include "absl/strings/numbers.h"

namespace ckpt {

bool SetNumber(absl::string_view value, int least, int& number) {
  return absl::SimpleAtoi(value, &number) && number >= least;
}

int CampaignMain(int argc, char** argv, const CampaignProgram& program) {
  *program.seed = std::random_device()();
  for (int i = 1; i < argc; i += 2) {
    const absl::string_view name = argv[i];
    const bool good =
        i + 1 < argc &&
        (name == "--seed" ? absl::SimpleAtoi(argv[i + 1], program.seed)
                          : program.set(name, argv[i + 1]));
    if (!good) {
      std::fputs(program.usage, stderr);
      return 64;
    }
  }
  std::printf("seed      %6" PRIu64 "\n", *program.seed);
  std::fflush(stdout);
  const auto outcome = program.run();
  if (!outcome.ok()) {
    std::fprintf(stderr, "%s: %s\n", program.name,
                 outcome.status().ToString().c_str());
    return 1;
  }
  std::fputs(outcome->counts.c_str(), stdout);
  return outcome->wrong == 0 ? 0 : 1;
}

}  // namespace ckpt
