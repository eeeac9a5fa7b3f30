#include "transfer/ranges.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "absl/status/status.h"

namespace ckpt::transfer {

void RangeSet::Add(uint64_t begin, uint64_t end) {
  if (begin >= end) return;
  auto next = ranges_.upper_bound(begin);
  if (next != ranges_.begin()) {
    const auto before = std::prev(next);
    if (before->second >= begin) {
      begin = before->first;
      end = std::max(end, before->second);
      total_ -= before->second - before->first;
      ranges_.erase(before);
    }
  }
  while (next != ranges_.end() && next->first <= end) {
    end = std::max(end, next->second);
    total_ -= next->second - next->first;
    next = ranges_.erase(next);
  }
  ranges_[begin] = end;
  total_ += end - begin;
}

RangeSet::Gap RangeSet::NextGap(uint64_t position) const {
  Gap gap = {position, std::numeric_limits<uint64_t>::max()};
  auto next = ranges_.upper_bound(position);
  if (next != ranges_.begin()) {
    gap.begin = std::max(gap.begin, std::prev(next)->second);
  }
  if (next != ranges_.end()) gap.end = next->first;
  return gap;
}

void ToProto(const FileRangeSets& sets, FileRangesField* field) {
  for (const auto& [file, set] : sets) {
    v1::FileRanges& ranges = *field->Add();
    ranges.set_file(file);
    for (const auto& [begin, end] : set.ranges()) {
      ranges.add_bounds(begin);
      ranges.add_bounds(end);
    }
  }
}

absl::StatusOr<FileRangeSets> FromProto(const FileRangesField& field) {
  FileRangeSets sets;
  for (const v1::FileRanges& ranges : field) {
    const auto& bounds = ranges.bounds();
    if (bounds.size() % 2 != 0 ||
        !std::is_sorted(bounds.begin(), bounds.end())) {
      return absl::InvalidArgumentError(
          "ranges of a file that do not ascend in pairs; nothing was done");
    }
    RangeSet& set = sets[ranges.file()];
    for (int i = 0; i < bounds.size(); i += 2)
      set.Add(bounds[i], bounds[i + 1]);
  }
  return sets;
}

}  // namespace ckpt::transfer
