// Like mkdir -p.
//
//   CKPT_RETURN_IF_ERROR(MakeDirectories("/run/ckpt/operations", 0700));
//
// Thread-safe.
#ifndef CKPT_BASE_MAKE_DIRECTORIES_H_
#define CKPT_BASE_MAKE_DIRECTORIES_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"

namespace ckpt {

// Those that are there stay as they are.  Errors of mkdir(2), which name the
// directory; those above it have been made then.
absl::Status MakeDirectories(const std::string& path, mode_t mode);

}  // namespace ckpt

#endif  // CKPT_BASE_MAKE_DIRECTORIES_H_
