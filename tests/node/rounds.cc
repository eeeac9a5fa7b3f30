#include "tests/node/rounds.h"

#include <cstdlib>

#include "absl/strings/numbers.h"

namespace ckpt {

int TestRounds(int fewest) {
  const char* const text =
      std::getenv("CKPT_TEST_ROUNDS");  // NOLINT(concurrency-mt-unsafe)
  int rounds = 0;
  const bool is_set = text != nullptr && absl::SimpleAtoi(text, &rounds);
  return is_set && rounds > 0 ? rounds : fewest;
}

}  // namespace ckpt
