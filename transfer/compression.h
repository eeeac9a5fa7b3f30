// Which level of compression gets the data over soonest: by what is measured,
// the speed of the link and of each level, and how much smaller each makes it.
//
//   CompressionChooser chooser;
//   const int level = chooser.Next();
//   ... compress and send ...
//   chooser.Report({level, raw, sent, compress_time, send_time});
//
// Compressing and sending follow each other in one thread; so a level costs,
// for each byte, the time of the compressor and that of the link for what is
// left.  Now and then a neighbour is tried.  Incompressible data cost the
// compressor time and the link no less: they end at level 0, none.
//
// Thread-compatible.
#ifndef CKPT_TRANSFER_COMPRESSION_H_
#define CKPT_TRANSFER_COMPRESSION_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace ckpt::transfer {

class CompressionChooser {
 public:
  // zstd's, but for 0, none.  Beyond 6 it gets slow, and hardly smaller.
  static constexpr std::array<int, 5> kLevels = {0, -5, 1, 3, 6};

  struct Sample {
    int level = 0;
    size_t raw_bytes = 0;
    size_t sent_bytes = 0;
    absl::Duration encode_time = absl::ZeroDuration();
    absl::Duration send_time = absl::ZeroDuration();
  };

  // A level of kLevels, for the next chunk.
  int Next();
  void Report(const Sample& sample);

 private:
  // Running means, of a sample's weight each.
  struct Measured {
    bool known = false;
    double encode_seconds_per_byte = 0;
    double ratio = 1;  // sent / raw
  };

  double Cost(size_t index) const;
  size_t Best() const;

  std::array<Measured, kLevels.size()> measured_;
  double link_seconds_per_byte_ = 0;
  uint64_t chunks_ = 0;
};

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_COMPRESSION_H_
