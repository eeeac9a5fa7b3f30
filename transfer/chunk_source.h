// The chunks of a feed, ready to be sent, one after the other, compressed as
// the link wants it.
//
//   ChunkSource source(feed, dir_fd);
//   v1::ImageChunk chunk;
//   while (true) {
//     CKPT_ASSIGN_OR_RETURN(const bool more, source.Next(&chunk));
//     if (!more) break;
//     ... send it ...
//     source.Sent(clock.Now() - start);
//   }
#ifndef CKPT_TRANSFER_CHUNK_SOURCE_H_
#define CKPT_TRANSFER_CHUNK_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "proto/transfer.pb.h"
#include "transfer/chunk.h"
#include "transfer/compression.h"
#include "transfer/feed.h"
#include "transfer/span_reader.h"

namespace ckpt::transfer {

// Thread-compatible; a feed serves several.  Borrows feed and directory.
class ChunkSource {
 public:
  ChunkSource(Feed& feed, int dir_fd) : feed_(feed), reader_(dir_fd) {}

  // Fills `chunk`; false: there are no more.
  absl::StatusOr<bool> Next(v1::ImageChunk* chunk);

  // How long the last took to be sent.
  void Sent(absl::Duration time);

  // Bytes of the image that were dealt with since the last call, zeros too.
  uint64_t TakeDone() { return std::exchange(done_, 0); }

 private:
  Feed& feed_;
  Clock& clock_ = Clock::Real();
  SpanReader reader_;
  ChunkEncoder encoder_;
  CompressionChooser chooser_;
  CompressionChooser::Sample sample_;  // of the last chunk
  Span span_;
  uint64_t position_ = 0;  // up to where span_ is dealt with
  bool in_span_ = false;
  uint64_t done_ = 0;
};

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_CHUNK_SOURCE_H_
