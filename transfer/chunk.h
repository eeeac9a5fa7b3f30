// A piece of a file as it travels: zeros left out, compressed, with a sum.
//
//   ChunkEncoder encoder;
//   v1::ImageChunk chunk;
//   if (encoder.Encode(bytes, /*level=*/1, &chunk)) Send(chunk);
//
//   ChunkDecoder decoder;
//   CKPT_ASSIGN_OR_RETURN(const auto piece,
//                         decoder.Decode(chunk, chunk.data()));
//   for (const Run& run : piece.data) pwrite(..., chunk.offset() + run.begin);
//
// What is decoded may come from anybody: nothing in it is believed.
#ifndef CKPT_TRANSFER_CHUNK_H_
#define CKPT_TRANSFER_CHUNK_H_

#include <zstd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/transfer.pb.h"

namespace ckpt::transfer {

// The longest piece that is taken, and that which is sent.  gRPC and TLS copy
// each byte several times at both ends, and longer pieces leave the processor's
// second-level cache (1 MiB) meanwhile: by the medians of 3 to 7 interleaved
// rounds of 1 GiB, both ends together took 1.05 times as much processor time
// with 512 KiB, and on busy processors 1.1 to 1.2 times; 1 MiB took 1.2 times
// that of 512 KiB.  128 KiB was about the same, with twice the messages.
inline constexpr uint32_t kMaxChunkBytes = 1 << 20;
inline constexpr size_t kChunkBytes = 256 << 10;
inline constexpr size_t kPageBytes = 4096;
// The longest file: more than any memory, less than what overflows.
inline constexpr uint64_t kMaxFileBytes = uint64_t{1} << 44;
// All files of an image, where nothing was announced.
inline constexpr uint64_t kMaxImageBytes = kMaxFileBytes;
// Files of an image, and the manifest that lists them: 3 MiB, so that it, or
// the list of what has arrived of them, is one message of gRPC's usual size.
inline constexpr size_t kMaxFiles = 40'000;
inline constexpr size_t kMaxManifestBytes = 3 << 20;
// How many parts of an image may have arrived with gaps between them: some
// 20 MB of memory, and a list of what has arrived that still is one message.
inline constexpr size_t kMaxRanges = 200'000;
inline constexpr int kMaxStreams = 4;

// Part of a piece: from `begin` to before `end`.
struct Run {
  size_t begin;
  size_t end;
};

uint64_t SumOf(absl::string_view bytes);  // XXH3-64

// Thread-compatible.
class ChunkEncoder {
 public:
  ChunkEncoder();

  // Fills all of `chunk` but file and offset.  Level 0 does not compress; what
  // compression makes no smaller goes as it is.  False: all are zeros, and
  // there is nothing to send.
  bool Encode(absl::string_view bytes, int level, v1::ImageChunk* chunk);

 private:
  struct FreeContext {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };
  const std::unique_ptr<ZSTD_CCtx, FreeContext> context_;
  std::string data_;  // without the zeros
};

// Thread-compatible.
class ChunkDecoder {
 public:
  struct Piece {
    // All of it, in `data` or until the next call.
    absl::string_view bytes;
    std::vector<Run> data;  // what is not zero, at most
  };

  ChunkDecoder();

  // `data` stands in for chunk.data.
  // InvalidArgument: it contradicts itself, or is beyond the bounds above.
  // DataLoss: it is not what was sent.  Both name file and offset.
  absl::StatusOr<Piece> Decode(const v1::ImageChunk& chunk,
                               absl::string_view data);

 private:
  struct FreeContext {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  const std::unique_ptr<ZSTD_DCtx, FreeContext> context_;
  std::string bytes_;
  std::string data_;
};

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_CHUNK_H_
