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
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace ckpt {

// Removes the hidden directories of dead owners in `parent_fd`, as far as they
// belong to our user.  Tries all, and returns the first error.  Thread-safe.
absl::Status CollectLeftovers(int parent_fd);

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
