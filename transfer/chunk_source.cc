#include "transfer/chunk_source.h"

#include "base/status.h"

namespace ckpt::transfer {

absl::StatusOr<bool> ChunkSource::Next(v1::ImageChunk* chunk) {
  while (true) {
    if (!in_span_) {
      CKPT_ASSIGN_OR_RETURN(absl::optional<Span> span, feed_.Next());
      if (!span.has_value()) return false;
      span_ = *std::move(span);
      CKPT_RETURN_IF_ERROR(reader_.Start(span_));
      position_ = span_.begin;
      in_span_ = true;
    }
    CKPT_ASSIGN_OR_RETURN(const absl::string_view bytes, reader_.Next());
    if (bytes.empty()) {
      done_ += span_.end - position_;
      in_span_ = false;
      continue;
    }
    const uint64_t end = reader_.offset() + bytes.size();
    done_ += end - position_;
    position_ = end;
    const int level = chooser_.Next();
    const absl::Time start = clock_.Now();
    if (!encoder_.Encode(bytes, level, chunk)) continue;
    chunk->set_file(span_.file);
    chunk->set_offset(reader_.offset());
    sample_ = {.level = level,
               .raw_bytes = bytes.size(),
               .sent_bytes = chunk->data().size(),
               .encode_time = clock_.Now() - start,
               .send_time = absl::ZeroDuration()};
    return true;
  }
}

void ChunkSource::Sent(absl::Duration time) {
  sample_.send_time = time;
  chooser_.Report(sample_);
}

}  // namespace ckpt::transfer
