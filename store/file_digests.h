// Sizes and digests of many files of one directory, on two threads, and their
// way to the disk.
//
//   CKPT_ASSIGN_OR_RETURN(
//       const std::vector<v1::ManifestFile> files,
//       DigestFiles(dir_fd, names, Durability::kOnDisk));
#ifndef CKPT_STORE_FILE_DIGESTS_H_
#define CKPT_STORE_FILE_DIGESTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "proto/image.pb.h"
#include "store/arriving_sums.h"
#include "store/growing_digests.h"

namespace ckpt {

enum class Durability {
  kAsIs,    // read only
  kOnDisk,  // every file is on the disk when the call returns OK
};

// Name, size, SHA-256 and block sum of each file, in the order given.
// NotFound: a file is missing.  FailedPrecondition: one is no regular file, or
// grew or shrank meanwhile.  ResourceExhausted, Internal: the file system
// failed.  Thread-safe.
//
// Cancelled, within a mebibyte of each thread, when `cancel` is.
//
// With `growing`, what was read of a file already is taken from there.  With
// `arriving`, the files that it knows have a block sum by it, and no SHA-256.
// All are borrowed for the call, and may be null.
absl::StatusOr<std::vector<v1::ManifestFile>> DigestFiles(
    int dir_fd, const std::vector<std::string>& names, Durability durability,
    GrowingDigests* growing = nullptr, const Cancellation* cancel = nullptr,
    const ArrivingSums* arriving = nullptr);

}  // namespace ckpt

#endif  // CKPT_STORE_FILE_DIGESTS_H_
