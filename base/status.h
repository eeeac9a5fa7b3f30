// Status helpers: errno to absl::Status in one place, and the two macros that
// pass errors up.
//
//   CKPT_ASSIGN_OR_RETURN(UniqueFd fd, OpenDirectory(path));
//   if (::fsync(fd.get()) != 0) return ErrnoToStatus(errno, "fsync", path);
//
// The code of an error is chosen by what the caller should do next; see
// docs/error_model.md.
#ifndef CKPT_BASE_STATUS_H_
#define CKPT_BASE_STATUS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ckpt {

// A Status for `error` (an errno value): "WHAT NAME: strerror".  `name` is the
// file, cgroup or pid concerned; it may be empty.
//
// ENOENT/ENODEV/ESRCH -> NotFound, EEXIST -> AlreadyExists, EACCES/EPERM/EROFS
// -> PermissionDenied, ENOSPC/EDQUOT/EFBIG/EMFILE/ENFILE/ENOMEM ->
// ResourceExhausted, EBUSY/EAGAIN -> Unavailable, EINVAL/ENAMETOOLONG/ENOTDIR
// -> InvalidArgument, ENOSYS/EOPNOTSUPP -> Unimplemented, ETIMEDOUT ->
// DeadlineExceeded, others -> Internal.
absl::Status ErrnoToStatus(int error, absl::string_view what,
                           absl::string_view name = "");

// `first` with "; then CONTEXT: ..." of `later` added to its message.  The code
// and payloads stay those of `first`.  When `first` is OK, `later` is returned;
// when `later` is OK, `first` is.
absl::Status AppendError(absl::Status first, absl::string_view context,
                         const absl::Status& later);

// `status` with its message replaced by "MESSAGE" where `message` is built from
// the old one by the caller; code and payloads stay.
absl::Status WithMessage(const absl::Status& status, absl::string_view message);

}  // namespace ckpt

#define CKPT_RETURN_IF_ERROR(expression)                              \
  do {                                                                \
    if (absl::Status ckpt_status = (expression); !ckpt_status.ok()) { \
      return ckpt_status;                                             \
    }                                                                 \
  } while (false)

#define CKPT_STATUS_CONCAT_INNER_(a, b) a##b
#define CKPT_STATUS_CONCAT_(a, b) CKPT_STATUS_CONCAT_INNER_(a, b)

#define CKPT_ASSIGN_OR_RETURN(left, expression)                               \
  CKPT_ASSIGN_OR_RETURN_(CKPT_STATUS_CONCAT_(ckpt_statusor_, __LINE__), left, \
                         expression)

#define CKPT_ASSIGN_OR_RETURN_(temporary, left, expression)  \
  auto temporary = (expression);                             \
  if (!temporary.ok()) return std::move(temporary).status(); \
  left = *std::move(temporary)

#endif  // CKPT_BASE_STATUS_H_
