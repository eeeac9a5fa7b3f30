#include "tests/fuzz/seal.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "store/block_sum.h"
#include "store/manifest.h"
#include "store/sha256.h"
#include "transfer/chunk.h"

namespace ckpt::fuzz {
namespace {

constexpr uint64_t kReadableBytes = 4 << 20;

}  // namespace

void SealChunk(v1::ImageChunk& chunk) {
  v1::ImageChunk plain = chunk;
  plain.set_zstd(false);
  if (chunk.zstd()) {
    transfer::ChunkEncoder encoder;
    v1::ImageChunk made;
    if (!encoder.Encode(chunk.data(), 1, &made)) return;
    // As it is encoded, with the name and the place that were wanted.
    made.set_file(chunk.file());
    made.set_offset(chunk.offset());
    chunk = made;
    return;
  }
  if (chunk.runs().empty()) {
    chunk.set_length(static_cast<uint32_t>(chunk.data().size()));
    chunk.set_xxh3(transfer::SumOf(chunk.data()));
  }
}

void Shrink(v1::ImageChunk& chunk) {
  if (chunk.offset() <= transfer::kMaxFileBytes) {
    chunk.set_offset(chunk.offset() % kReadableBytes);
  }
}

std::string SealedManifest(v1::Manifest manifest, bool seal,
                           const std::string& directory) {
  for (v1::ManifestFile& file : *manifest.mutable_files()) {
    if (file.size_bytes() <= transfer::kMaxFileBytes) {
      file.set_size_bytes(file.size_bytes() % kReadableBytes);
    }
    if (!seal || !file.sha256().empty() ||
        absl::StrContains(file.name(), '/')) {
      continue;
    }
    const auto bytes = ReadFile(absl::StrCat(directory, "/", file.name()));
    if (!bytes.ok()) continue;
    file.set_size_bytes(bytes->size());
    file.set_sha256(Sha256Of(*bytes));
    // Of those that have one, so that both kinds of images come in.
    if (file.block_sum().empty()) continue;
    BlockSum sum;
    sum.Add(*bytes);
    file.set_block_sum(sum.Finish());
  }
  return seal ? EncodeManifest(manifest) : manifest.SerializePartialAsString();
}

std::vector<std::string> ImageWords() {
  return {"job",
          "other",
          "one",
          "two",
          "/jobs/a",
          "/jobs/b",
          "/",
          "",
          "..",
          "../outside",
          "/tmp/outside",
          "pages-1.img",
          "pages-2.img",
          "core-7.img",
          "inventory.img",
          "ckpt-manifest.pb",
          "ckpt-pinned",
          "stats-dump",
          ".arrival-record",
          ".criu.cgyard",
          std::string("a\0b", 3),
          std::string(201, 'a')};
}

}  // namespace ckpt::fuzz
