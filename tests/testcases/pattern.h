// Pseudo-random numbers that can be computed anew at any time: what a workload
// wrote, it can check later without a copy.
#ifndef CKPT_TESTS_TESTCASES_PATTERN_H_
#define CKPT_TESTS_TESTCASES_PATTERN_H_

#include <cstdint>

namespace ckpt {

// A number that depends on every bit of both (splitmix64's finalizer).
inline uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t x = a * 0x9e37'79b9'7f4a'7c15 + b + 0x632b'e59b'd9b4'e019;
  x = (x ^ (x >> 30)) * 0xbf58'476d'1ce4'e5b9;
  x = (x ^ (x >> 27)) * 0x94d0'49bb'1331'11eb;
  return x ^ (x >> 31);
}

}  // namespace ckpt

#endif  // CKPT_TESTS_TESTCASES_PATTERN_H_
