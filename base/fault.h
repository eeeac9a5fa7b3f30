// Named fault points: places where a test makes a step of a real operation
// fail, die or stand still.
//
//   CKPT_RETURN_IF_ERROR(FaultPoint("dump.frozen"));
//
// The environment variable CKPT_FAULT holds POINT=ACTION pairs, separated by
// commas, with ACTION one of
//   kill           SIGKILL to this process
//   stop           SIGSTOP to this process: the test does what it wants, then
//                  sends SIGCONT
//   error          the point returns Internal
//   enospc         the point returns ResourceExhausted, as a full disk would
// Unset (the normal case) a point costs one branch.  docs/error_model.md lists
// the points.  Thread-safe.
#ifndef CKPT_BASE_FAULT_H_
#define CKPT_BASE_FAULT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ckpt {

// OK unless CKPT_FAULT names this point.
absl::Status FaultPoint(absl::string_view point);

// The action that `spec` (the format above) holds for `point`, or "".
std::string FaultActionFor(absl::string_view spec, absl::string_view point);

}  // namespace ckpt

#endif  // CKPT_BASE_FAULT_H_
