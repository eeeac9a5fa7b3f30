#include "transfer/compression.h"

#include <algorithm>

namespace ckpt::transfer {
namespace {

constexpr double kWeight = 0.25;  // of a new sample in the mean
// How often a neighbour of the best level is tried: its loss, where it is much
// slower, stays below some percent.
constexpr uint64_t kTryEvery = 24;

void Mix(double& mean, double sample, bool known) {
  mean = known ? mean + kWeight * (sample - mean) : sample;
}

size_t IndexOf(int level) {
  const auto& levels = CompressionChooser::kLevels;
  const auto found = std::find(levels.begin(), levels.end(), level);
  return static_cast<size_t>(found - levels.begin());
}

}  // namespace

double CompressionChooser::Cost(size_t index) const {
  const Measured& level = measured_[index];
  return level.encode_seconds_per_byte + level.ratio * link_seconds_per_byte_;
}

size_t CompressionChooser::Best() const {
  size_t best = 0;
  for (size_t i = 1; i < measured_.size(); ++i) {
    if (measured_[i].known && Cost(i) < Cost(best)) best = i;
  }
  return best;
}

int CompressionChooser::Next() {
  const uint64_t chunk = chunks_++;
  // First none, for the link's speed, then the fastest.
  if (!measured_[0].known) return kLevels[0];
  if (!measured_[1].known) return kLevels[1];
  const size_t best = Best();
  if (chunk % kTryEvery != 0) return kLevels[best];
  const bool up = (chunk / kTryEvery) % 2 == 0;
  if (up && best + 1 < kLevels.size()) return kLevels[best + 1];
  return kLevels[best == 0 ? 1 : best - 1];
}

void CompressionChooser::Report(const Sample& sample) {
  const size_t index = IndexOf(sample.level);
  if (index == kLevels.size() || sample.raw_bytes == 0 ||
      sample.sent_bytes == 0) {
    return;
  }
  Measured& level = measured_[index];
  const auto raw = static_cast<double>(sample.raw_bytes);
  const auto sent = static_cast<double>(sample.sent_bytes);
  Mix(level.encode_seconds_per_byte,
      absl::ToDoubleSeconds(sample.encode_time) / raw, level.known);
  Mix(level.ratio, sent / raw, level.known);
  Mix(link_seconds_per_byte_, absl::ToDoubleSeconds(sample.send_time) / sent,
      link_seconds_per_byte_ > 0);
  level.known = true;
}

}  // namespace ckpt::transfer
