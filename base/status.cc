#include "base/status.h"

#include <cerrno>
#include <string>
#include <system_error>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace ckpt {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
    case ENODEV:
    case ESRCH:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    case EBUSY:
    case EAGAIN:
      return absl::StatusCode::kUnavailable;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
      return absl::StatusCode::kInvalidArgument;
    case ENOSYS:
    case EOPNOTSUPP:
      return absl::StatusCode::kUnimplemented;
    case ETIMEDOUT:
      return absl::StatusCode::kDeadlineExceeded;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status ErrnoToStatus(int error, absl::string_view what,
                           absl::string_view name) {
  // std::generic_category() is thread-safe, which strerror() is not.
  const std::string reason = std::generic_category().message(error);
  return absl::Status(CodeOf(error), absl::StrCat(what, name.empty() ? "" : " ",
                                                  name, ": ", reason));
}

absl::Status WithMessage(const absl::Status& status,
                         absl::string_view message) {
  absl::Status result(status.code(), message);
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    result.SetPayload(url, payload);
  });
  return result;
}

absl::Status AppendError(absl::Status first, absl::string_view context,
                         const absl::Status& later) {
  if (later.ok()) return first;
  if (first.ok()) {
    return WithMessage(later, absl::StrCat(context, ": ", later.message()));
  }
  return WithMessage(first, absl::StrCat(first.message(), "; then ", context,
                                         ": ", later.message()));
}

}  // namespace ckpt
