// The cheap sum of a file: XXH3-128 over the XXH3-64 (8 bytes each, little
// endian) of its blocks of 256 KiB in turn, of which the last may be shorter.
//
//   BlockSum sum;
//   sum.Add(part);
//   const std::string bytes = sum.Finish();  // 16 bytes
//
// It finds every accident, for a third of the processor time of SHA-256 at
// most, and the blocks can be summed in any order.  Who makes files on purpose
// can make two with the same sum.
#ifndef CKPT_STORE_BLOCK_SUM_H_
#define CKPT_STORE_BLOCK_SUM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace ckpt {

inline constexpr size_t kSumBlockBytes = 256 << 10;

// XXH3-64: of a block, or of anything else.
uint64_t Xxh3Of(absl::string_view bytes);

// Copyable.  Thread-compatible.
class BlockSum {
 public:
  static constexpr size_t kBytes = 16;

  BlockSum();
  ~BlockSum();
  BlockSum(const BlockSum& other);
  BlockSum& operator=(const BlockSum& other);

  void Add(absl::string_view data);
  // A whole block, by its XXH3-64; what was added before is whole blocks, too.
  void AddBlock(uint64_t xxh3);
  // The sum of all that was added, in XXH128's canonical form.  Starts over.
  std::string Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ckpt

#endif  // CKPT_STORE_BLOCK_SUM_H_
