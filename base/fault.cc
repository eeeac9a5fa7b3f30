#include "base/fault.h"

#include <signal.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace ckpt {
namespace {

const std::string& Spec() {
  static const std::string& spec = *new std::string([] {
    // Read once, before anything could change the environment.
    const char* value =
        std::getenv("CKPT_FAULT");  // NOLINT(concurrency-mt-unsafe)
    return value == nullptr ? "" : value;
  }());
  return spec;
}

}  // namespace

std::string FaultActionFor(absl::string_view spec, absl::string_view point) {
  for (const absl::string_view pair : absl::StrSplit(spec, ',')) {
    const std::pair<absl::string_view, absl::string_view> fields =
        absl::StrSplit(pair, absl::MaxSplits('=', 1));
    if (fields.first == point) return std::string(fields.second);
  }
  return "";
}

absl::Status FaultPoint(absl::string_view point) {
  if (Spec().empty()) return absl::OkStatus();
  const std::string action = FaultActionFor(Spec(), point);
  if (action.empty()) return absl::OkStatus();
  if (action == "kill") ::raise(SIGKILL);
  if (action == "stop") ::raise(SIGSTOP);
  if (action == "error") {
    return absl::InternalError(absl::StrCat("fault point ", point));
  }
  if (action == "enospc") return ErrnoToStatus(ENOSPC, "fault point", point);
  return absl::OkStatus();
}

}  // namespace ckpt
