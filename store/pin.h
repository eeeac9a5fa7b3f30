// The pin of an image: what has it is not removed, by nobody.
//
//   CKPT_RETURN_IF_ERROR(SetPin(dir_fd, path));
//   if (IsPinned(dir_fd)) ...
//
// A pin is an empty file in the image's directory, no part of the image itself:
// no digest covers it, and it goes where the directory is copied.  It is there
// or not, also after a crash.
//
// For ImageStore, which locks the image first.  Thread-safe.
#ifndef CKPT_STORE_PIN_H_
#define CKPT_STORE_PIN_H_

#include <string>

#include "absl/status/status.h"

namespace ckpt {

// Durable when they return OK; OK also when nothing was to be done.  After an
// error the pin may be there or not.  `path` is for the message.
//   PermissionDenied, ResourceExhausted: of the file system
absl::Status SetPin(int dir_fd, const std::string& path);
absl::Status ClearPin(int dir_fd, const std::string& path);

// What cannot be told counts as pinned.
bool IsPinned(int dir_fd);

}  // namespace ckpt

#endif  // CKPT_STORE_PIN_H_
