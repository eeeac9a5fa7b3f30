#include "cli/remote_operation.h"

#include <sys/random.h>

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "rpc/operation_end.h"
#include "rpc/status_proto.h"

namespace ckpt::cli {

std::string OperationId(const Arguments& arguments) {
  if (arguments.Has("operation")) return arguments.Get("operation");
  uint64_t words[2] = {};
  (void)!::getrandom(words, sizeof(words), 0);
  return absl::StrFormat("%016x%016x", words[0], words[1]);
}

absl::Status ErrorOf(const v1::Operation& operation) {
  if (operation.state() != v1::OPERATION_STATE_FAILED) return absl::OkStatus();
  return rpc::FromStatusProto(operation.error());
}

absl::StatusOr<v1::Operation> RunOperation(
    rpc::Client& remote, const std::string& id, const Cancellation* cancel,
    const std::function<absl::StatusOr<v1::Operation>()>& start,
    const std::function<void(const v1::Operation&)>& on_change) {
  CKPT_ASSIGN_OR_RETURN(v1::Operation last, start());
  v1::OperationRequest request;
  request.set_operation_id(id);
  const auto keep = [&](const v1::Operation& now) {
    last = now;
    if (on_change != nullptr) on_change(now);
    return absl::OkStatus();
  };
  absl::Status watched = remote.WatchOperation(request, cancel, keep);
  if (!rpc::HasEnded(last) && cancel->cancelled()) {
    CKPT_RETURN_IF_ERROR(remote.CancelOperation(request, nullptr).status());
    watched = remote.WatchOperation(request, nullptr, keep);
  }
  if (!rpc::HasEnded(last)) {
    if (watched.ok()) watched = absl::UnavailableError("the agent is ending");
    return WithMessage(
        watched,
        absl::StrCat("lost sight of operation ", id, ": ", watched.message(),
                     "; see what became of it: ckpt ops watch ", id));
  }
  CKPT_RETURN_IF_ERROR(ErrorOf(last));
  return last;
}

}  // namespace ckpt::cli
