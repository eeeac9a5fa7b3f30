#include "transfer/compression.h"

#include <array>
#include <cstddef>
#include <map>
#include <utility>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace ckpt::transfer {
namespace {

constexpr size_t kChunk = 512 << 10;

// What a level does to some data: how much is left, and how fast it is.
struct Level {
  double ratio;
  double mib_per_second;
};
using Data = std::map<int, Level>;

// As zstd does to memory that compresses to a third, on a usual processor.
const Data& Memory() {
  static const Data& data = *new Data{{0, {1, 8000}},
                                      {-5, {0.5, 1500}},
                                      {1, {0.4, 500}},
                                      {3, {0.36, 250}},
                                      {6, {0.33, 80}}};
  return data;
}

// Nothing makes it smaller, and zstd soon sees that.
const Data& Noise() {
  static const Data& data = *new Data{{0, {1, 8000}},
                                      {-5, {1, 2000}},
                                      {1, {1, 1000}},
                                      {3, {1, 800}},
                                      {6, {1, 200}}};
  return data;
}

absl::Duration TimeFor(double bytes, double mib_per_second) {
  return absl::Seconds(bytes / (1 << 20) / mib_per_second);
}

// Sends `chunks` over a link of that speed.  Returns how often each level was
// chosen.
std::map<int, int> Send(CompressionChooser& chooser, const Data& data,
                        double link_mib_per_second, int chunks) {
  std::map<int, int> chosen;
  for (int i = 0; i < chunks; ++i) {
    const int level = chooser.Next();
    ++chosen[level];
    const Level& does = data.at(level);
    const double sent = does.ratio * kChunk;
    chooser.Report({.level = level,
                    .raw_bytes = kChunk,
                    .sent_bytes = static_cast<size_t>(sent),
                    .encode_time = TimeFor(kChunk, does.mib_per_second),
                    .send_time = TimeFor(sent, link_mib_per_second)});
  }
  return chosen;
}

int MostUsed(const std::map<int, int>& chosen) {
  int best = chosen.begin()->first;
  for (const auto& [level, count] : chosen) {
    if (count > chosen.at(best)) best = level;
  }
  return best;
}

TEST(CompressionChooserTest, MeasuresNoneAndTheFastestFirst) {
  CompressionChooser chooser;
  EXPECT_EQ(chooser.Next(), 0);
  chooser.Report({.level = 0,
                  .raw_bytes = kChunk,
                  .sent_bytes = kChunk,
                  .encode_time = absl::Microseconds(60),
                  .send_time = absl::Milliseconds(5)});
  EXPECT_EQ(chooser.Next(), -5);
}

TEST(CompressionChooserTest, FasterLinkGetsAFasterLevel) {
  const std::array<std::pair<double, int>, 4> links = {
      {{10'000, 0}, {800, -5}, {40, 1}, {3, 6}}};
  for (const auto& [mib_per_second, level] : links) {
    CompressionChooser chooser;
    Send(chooser, Memory(), mib_per_second, 200);  // until it has found out
    EXPECT_EQ(MostUsed(Send(chooser, Memory(), mib_per_second, 240)), level)
        << mib_per_second << " MiB/s";
  }
}

TEST(CompressionChooserTest, NoiseGoesAsItIsWhateverTheLink) {
  for (const double mib_per_second : {1.0, 100.0, 10'000.0}) {
    CompressionChooser chooser;
    const std::map<int, int> chosen =
        Send(chooser, Noise(), mib_per_second, 240);
    // All but the tries of a neighbour.
    EXPECT_GE(chosen.at(0), 240 * 22 / 24) << mib_per_second << " MiB/s";
  }
}

TEST(CompressionChooserTest, FollowsDataAndLinkThatChange) {
  CompressionChooser chooser;
  Send(chooser, Noise(), 40, 240);
  Send(chooser, Memory(), 40, 400);
  EXPECT_EQ(MostUsed(Send(chooser, Memory(), 40, 240)), 1);
  Send(chooser, Memory(), 10'000, 400);
  EXPECT_EQ(MostUsed(Send(chooser, Memory(), 10'000, 240)), 0);
}

TEST(CompressionChooserTest, ReportsThatTellNothingAreLeftOut) {
  CompressionChooser chooser;
  chooser.Report({.level = 0, .raw_bytes = 0, .sent_bytes = kChunk});
  chooser.Report({.level = 0, .raw_bytes = kChunk, .sent_bytes = 0});
  chooser.Report({.level = 7, .raw_bytes = kChunk, .sent_bytes = kChunk});
  EXPECT_EQ(chooser.Next(), 0);  // nothing is known of it yet
}

}  // namespace
}  // namespace ckpt::transfer
