// Which bytes of a file, or of several: sets of ranges.
//
//   RangeSet arrived;
//   arrived.Add(0, 4096);
//   const uint64_t missing_from = arrived.NextGap(0).begin;
#ifndef CKPT_TRANSFER_RANGES_H_
#define CKPT_TRANSFER_RANGES_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "google/protobuf/repeated_ptr_field.h"
#include "proto/transfer.pb.h"

namespace ckpt::transfer {

// Value type; thread-compatible.
class RangeSet {
 public:
  // From `begin` to before `end`.
  void Add(uint64_t begin, uint64_t end);

  // The first byte at or after `position` that is not in the set, and the next
  // after that one that is (or the greatest number).
  struct Gap {
    uint64_t begin;
    uint64_t end;
  };
  Gap NextGap(uint64_t position) const;

  uint64_t total() const { return total_; }
  const std::map<uint64_t, uint64_t>& ranges() const { return ranges_; }

 private:
  std::map<uint64_t, uint64_t> ranges_;  // begin -> end; apart
  uint64_t total_ = 0;
};

using FileRangeSets = std::map<std::string, RangeSet>;
using FileRangesField = google::protobuf::RepeatedPtrField<v1::FileRanges>;

void ToProto(const FileRangeSets& sets, FileRangesField* field);
// InvalidArgument: not ascending in pairs.
absl::StatusOr<FileRangeSets> FromProto(const FileRangesField& field);

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_RANGES_H_
