#include "transfer/chunk.h"

#include <algorithm>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "store/arriving_image.h"
#include "store/block_sum.h"

namespace ckpt::transfer {
namespace {

bool IsZero(absl::string_view bytes) {
  return bytes.empty() ||
         (bytes[0] == 0 &&
          std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

std::string Name(const v1::ImageChunk& chunk) {
  return absl::StrCat("the chunk of file '",
                      absl::CHexEscape(chunk.file().substr(0, 200)),
                      "' at offset ", chunk.offset());
}

absl::Status Refused(const v1::ImageChunk& chunk, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat(Name(chunk), " is refused: ", what));
}

absl::Status Corrupt(const v1::ImageChunk& chunk, absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat(Name(chunk), " did not arrive as it was sent: ", what));
}

// The parts of a piece that are sent.  `total` is their length.
absl::StatusOr<std::vector<Run>> RunsOf(const v1::ImageChunk& chunk,
                                        size_t* total) {
  const size_t length = chunk.length();
  std::vector<Run> data;
  *total = 0;
  if (chunk.runs().empty()) {
    *total = length;
    return std::vector<Run>{{0, length}};
  }
  const size_t pages = (length + kPageBytes - 1) / kPageBytes;
  size_t page = 0;
  for (int i = 0; i < chunk.runs_size(); ++i) {
    const size_t count = chunk.runs(i);
    if (count > pages - page) return Refused(chunk, "more pages than it has");
    if (i % 2 == 1 && count > 0) {
      const Run run = {page * kPageBytes,
                       std::min(length, (page + count) * kPageBytes)};
      data.push_back(run);
      *total += run.end - run.begin;
    }
    page += count;
  }
  if (page != pages) return Refused(chunk, "fewer pages than it has");
  return data;
}

}  // namespace

// The receiver takes the sums of chunks for those of blocks.
static_assert(kChunkBytes == kSumBlockBytes);

uint64_t SumOf(absl::string_view bytes) { return Xxh3Of(bytes); }

ChunkEncoder::ChunkEncoder() : context_(ZSTD_createCCtx()) {}

bool ChunkEncoder::Encode(absl::string_view bytes, int level,
                          v1::ImageChunk* chunk) {
  chunk->clear_runs();
  chunk->set_length(static_cast<uint32_t>(bytes.size()));
  absl::string_view data = bytes;
  data_.clear();
  bool zeros = true;  // what the present run is of
  uint32_t run = 0;
  bool any_zeros = false;
  for (size_t at = 0; at < bytes.size(); at += kPageBytes) {
    const bool is_zero = IsZero(bytes.substr(at, kPageBytes));
    any_zeros = any_zeros || is_zero;
    if (is_zero != zeros) {
      chunk->add_runs(run);
      zeros = is_zero;
      run = 0;
    }
    ++run;
  }
  chunk->add_runs(run);
  if (zeros && chunk->runs_size() == 1) return false;
  if (!any_zeros) {
    chunk->clear_runs();
  } else {
    size_t page = 0;
    for (int i = 0; i < chunk->runs_size(); ++i) {
      if (i % 2 == 1) {
        const absl::string_view part =
            bytes.substr(page * kPageBytes, chunk->runs(i) * kPageBytes);
        data_.append(part.data(), part.size());
      }
      page += chunk->runs(i);
    }
    data = data_;
  }
  chunk->set_xxh3(SumOf(bytes));
  chunk->set_zstd(false);
  if (level > 0) {
    // One sixteenth less is the least that is worth the other end's time.
    const size_t room = data.size() - data.size() / 16;
    std::string& out = *chunk->mutable_data();
    out.resize(room);
    const size_t size = ZSTD_compressCCtx(context_.get(), out.data(), room,
                                          data.data(), data.size(), level);
    if (ZSTD_isError(size) == 0) {
      out.resize(size);
      chunk->set_zstd(true);
      return true;
    }
  }
  chunk->mutable_data()->assign(data.data(), data.size());
  return true;
}

ChunkDecoder::ChunkDecoder() : context_(ZSTD_createDCtx()) {}

absl::StatusOr<ChunkDecoder::Piece> ChunkDecoder::Decode(
    const v1::ImageChunk& chunk, absl::string_view data) {
  if (!IsImageFileName(chunk.file())) {
    return Refused(chunk, "no file of an image has such a name");
  }
  if (chunk.length() == 0 || chunk.length() > kMaxChunkBytes ||
      chunk.offset() > kMaxFileBytes - chunk.length()) {
    return Refused(chunk, absl::StrCat("a length of ", chunk.length(),
                                       " there is out of bounds"));
  }
  Piece piece;
  size_t total = 0;
  CKPT_ASSIGN_OR_RETURN(piece.data, RunsOf(chunk, &total));
  if (chunk.zstd()) {
    data_.resize(total);
    const size_t size = ZSTD_decompressDCtx(
        context_.get(), data_.data(), data_.size(), data.data(), data.size());
    if (ZSTD_isError(size) != 0) return Corrupt(chunk, "it is no zstd frame");
    data = absl::string_view(data_).substr(0, size);
  }
  if (data.size() != total) {
    return Corrupt(chunk,
                   absl::StrCat(data.size(), " bytes instead of ", total));
  }
  if (chunk.runs().empty()) {
    piece.bytes = data;
  } else {
    bytes_.assign(chunk.length(), '\0');
    size_t taken = 0;
    for (const Run& run : piece.data) {
      std::memcpy(bytes_.data() + run.begin, data.data() + taken,
                  run.end - run.begin);
      taken += run.end - run.begin;
    }
    piece.bytes = bytes_;
  }
  if (SumOf(piece.bytes) != chunk.xxh3()) {
    return Corrupt(chunk, "its XXH3 differs");
  }
  return piece;
}

}  // namespace ckpt::transfer
