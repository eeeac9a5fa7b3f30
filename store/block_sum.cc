#include "store/block_sum.h"

#include <bit>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ckpt {

uint64_t Xxh3Of(absl::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

struct BlockSum::State {
  State() {
    XXH3_128bits_reset(&root);
    XXH3_64bits_reset(&block);
  }

  XXH3_state_t root;
  XXH3_state_t block;   // of a block that has begun
  size_t in_block = 0;  // bytes; 0: none has
};

BlockSum::BlockSum() : state_(std::make_unique<State>()) {}
BlockSum::~BlockSum() = default;
BlockSum::BlockSum(const BlockSum& other)
    : state_(std::make_unique<State>(*other.state_)) {}
BlockSum& BlockSum::operator=(const BlockSum& other) {
  *state_ = *other.state_;
  return *this;
}

void BlockSum::Add(absl::string_view data) {
  State& state = *state_;
  while (!data.empty()) {
    const absl::string_view part =
        data.substr(0, kSumBlockBytes - state.in_block);
    data.remove_prefix(part.size());
    if (part.size() == kSumBlockBytes) {
      AddBlock(Xxh3Of(part));
      continue;
    }
    if (state.in_block == 0) XXH3_64bits_reset(&state.block);
    XXH3_64bits_update(&state.block, part.data(), part.size());
    state.in_block += part.size();
    if (state.in_block == kSumBlockBytes) {
      state.in_block = 0;
      AddBlock(XXH3_64bits_digest(&state.block));
    }
  }
}

void BlockSum::AddBlock(uint64_t xxh3) {
  static_assert(std::endian::native == std::endian::little);
  XXH3_128bits_update(&state_->root, &xxh3, sizeof(xxh3));
}

std::string BlockSum::Finish() {
  if (state_->in_block != 0) AddBlock(XXH3_64bits_digest(&state_->block));
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state_->root));
  XXH3_128bits_reset(&state_->root);
  state_->in_block = 0;
  return std::string(reinterpret_cast<const char*>(canonical.digest),
                     sizeof(canonical.digest));
}

}  // namespace ckpt
