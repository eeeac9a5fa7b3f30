// Asked between the steps of what can be cancelled.
//
//   CKPT_RETURN_IF_ERROR(CheckCancel(cancel, "cancelled; nothing was
//   touched"));
//
// Thread-safe.
#ifndef CKPT_BASE_CHECK_CANCEL_H_
#define CKPT_BASE_CHECK_CANCEL_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/cancellation.h"

namespace ckpt {

// Cancelled, with that message, when `cancel` is; it may be null.
inline absl::Status CheckCancel(const Cancellation* cancel,
                                absl::string_view message = "cancelled") {
  return cancel != nullptr && cancel->cancelled()
             ? absl::CancelledError(message)
             : absl::OkStatus();
}

}  // namespace ckpt

#endif  // CKPT_BASE_CHECK_CANCEL_H_
