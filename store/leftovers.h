// Removes what writers and removers that died have left beside images.
//
// Hidden directories (store/layout.h) are locked by whoever works on them, with
// a shared flock() on the directory itself.  The kernel frees the lock with the
// last descriptor, so a directory whose lock is free belongs to nobody.
//
// Caveat: other nodes do not see the lock of a directory on a network file
// system (on NFS, flock() of a directory is local).  There nothing is
// collected.
#ifndef CKPT_STORE_LEFTOVERS_H_
#define CKPT_STORE_LEFTOVERS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "proto/transfer.pb.h"

namespace ckpt {

// Removes the hidden directories of dead owners in `parent_fd`, as far as they
// belong to our user.  Tries all, and returns the first error.  Thread-safe.
absl::Status CollectLeftovers(int parent_fd);

// Bounds of images that arrive from other nodes (store/arriving_image.h) while
// nobody writes them.
struct ArrivingLimits {
  absl::Duration age = absl::Hours(24);  // since something last arrived
  size_t images = 16;
  uint64_t bytes = uint64_t{256} << 30;  // on the disk
};

// Removes those of `parent_fd` that are beyond the limits, the oldest first;
// not those that somebody writes.  Returns how many.  Tries all, and returns
// the first error.  Thread-safe.
absl::StatusOr<int> CollectArriving(int parent_fd,
                                    const ArrivingLimits& limits);

// One of them.  NotFound: it is gone.  Thread-safe.
absl::StatusOr<v1::ArrivingImage> DescribeArriving(int parent_fd,
                                                   const std::string& hidden);

enum class Links { kFollow, kRefuse };

// Opens the directory `name` of `parent_fd` and takes its lock: `lock` is
// LOCK_SH or LOCK_EX.  On success the name still means that directory.
// NotFound: it is gone.  Unavailable: somebody holds the lock.
// InvalidArgument: it is no directory.  Thread-safe.
absl::StatusOr<UniqueFd> OpenLocked(int parent_fd, const std::string& name,
                                    int lock, Links links = Links::kRefuse);

// PREFIX NAME - six random hexadecimal digits, for a hidden directory.
// Thread-safe.
std::string HiddenName(absl::string_view prefix, absl::string_view name);

// From the kernel's generator; a forked child does not repeat its parent's.
// Thread-safe.
std::string RandomBytes(size_t count);

}  // namespace ckpt

#endif  // CKPT_STORE_LEFTOVERS_H_
