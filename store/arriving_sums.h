// What is known of the files of memory pages (pages-*.img) of an image that
// arrives: the XXH3-64 of their blocks (store/block_sum.h), as they were
// written, so that nothing needs to be read again for their block sums.
//
//   ArrivingSums sums;
//   sums.Wrote("pages-1.img", 0, 256 << 10, xxh3);   // in any order
//   CKPT_ASSIGN_OR_RETURN(const std::string sum,
//                         sums.BlockSumOf("pages-1.img", fd, size));
//
// A block that nothing was written to is one of zeros.  One that was written
// to in parts, or more than once, is read in the end.
//
// Caveat: what somebody else changes in the files is not noticed.
#ifndef CKPT_STORE_ARRIVING_SUMS_H_
#define CKPT_STORE_ARRIVING_SUMS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ckpt {

// Movable.  Thread-compatible.
class ArrivingSums {
 public:
  // `most_blocks`: of how many blocks something is remembered, 17 to 40 bytes
  // for each; with more, nothing is known any more.  The default is enough for
  // 256 GiB.
  explicit ArrivingSums(size_t most_blocks = size_t{1} << 20)
      : most_blocks_(most_blocks) {}

  // Somebody has written to a file, from `begin` to before `end`, and has left
  // zeros out.  `xxh3`: the sum of all of that, zeros included; none: the write
  // may have failed in the middle.
  void Wrote(const std::string& name, uint64_t begin, uint64_t end,
             std::optional<uint64_t> xxh3);

  // To go on with files that are there: first what was compared with them, in
  // any order; then Resume(), which marks the rest of what is in the files of
  // the directory to be read in the end.
  void Found(const std::string& name, uint64_t begin, uint64_t end,
             uint64_t xxh3);
  absl::Status Resume(int dir_fd);

  // Whether BlockSumOf() is better than to read the file.
  bool Knows(const std::string& name) const;

  // The block sum of a file of `size` bytes, open for reading.
  // FailedPrecondition: it is shorter.  Internal: it cannot be read.
  absl::StatusOr<std::string> BlockSumOf(const std::string& name, int fd,
                                         uint64_t size) const;

 private:
  // By number; 0: to be read, as is one whose sum that is.  None: zeros.
  using Blocks = absl::flat_hash_map<uint64_t, uint64_t>;

  absl::Status MarkData(int dir_fd, const std::string& name);
  // After blocks of one of `files_` were added.
  void CountNew(size_t added);

  size_t most_blocks_;
  std::map<std::string, Blocks> files_;
  size_t blocks_ = 0;  // of all files
  bool too_many_ = false;
};

}  // namespace ckpt

#endif  // CKPT_STORE_ARRIVING_SUMS_H_
