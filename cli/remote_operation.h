// A dump or a restore at another node, from its request to its end.
//
//   v1::DumpOperationRequest request;
//   request.set_operation_id(OperationId(arguments));
//   CKPT_ASSIGN_OR_RETURN(
//       const v1::Operation ended,
//       RunOperation(*remote, request.operation_id(), context.cancel,
//                    [&] { return remote->Dump(request, nullptr); }));
#ifndef CKPT_CLI_REMOTE_OPERATION_H_
#define CKPT_CLI_REMOTE_OPERATION_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "cli/flags.h"
#include "proto/agent.pb.h"
#include "rpc/client.h"

namespace ckpt::cli {

// --operation, or one that nobody else has.
std::string OperationId(const Arguments& arguments);

// Starts the operation, or attaches to the one of that id, and waits for its
// end; `cancel` has it cancelled there.  The error of an operation that failed
// is returned as it would be by a local one; Unavailable when the connection
// was lost, and the operation may go on.  `on_change`, if set, is called with
// what the operation is as often as it changes.
absl::StatusOr<v1::Operation> RunOperation(
    rpc::Client& remote, const std::string& id, const Cancellation* cancel,
    const std::function<absl::StatusOr<v1::Operation>()>& start,
    const std::function<void(const v1::Operation&)>& on_change = nullptr);

// OK, or what it has failed with.
absl::Status ErrorOf(const v1::Operation& operation);

}  // namespace ckpt::cli

#endif  // CKPT_CLI_REMOTE_OPERATION_H_
