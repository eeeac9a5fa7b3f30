// What the verbs share that send images to nodes or get them.
#ifndef CKPT_CLI_TRANSFER_H_
#define CKPT_CLI_TRANSFER_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "proto/transfer.pb.h"
#include "store/image_store.h"
#include "transfer/push.h"

namespace ckpt::cli {

// --as, --streams, --store, --tls-...
std::vector<Flag> WithTransferFlags(std::vector<Flag> own);

// --streams; cancelled and followed as the verb is.
absl::StatusOr<transfer::TransferOptions> TransferFlags(
    const Arguments& arguments, const Context& context);

// Sends an image, by name or path, of `store` to `node`, where it gets the name
// `as`, or, when that is empty, its own.
absl::StatusOr<v1::TransferReport> PushImage(const ImageStore& store,
                                             const std::string& image,
                                             const std::string& as,
                                             const std::string& node,
                                             const Arguments& arguments,
                                             const Context& context);

// "sent" or "received".
std::string RenderTransfer(const v1::TransferReport& report,
                           const std::string& what);

// Shows progress: on a terminal a line that is drawn again and again, else a
// line for each tenth of the way, both on standard error; with --json an object
// a line on standard output.  Copyable; for one thread at a time.
std::function<void(const v1::OperationProgress&)> ProgressPrinter(
    const Arguments& arguments, const Context& context);

}  // namespace ckpt::cli

#endif  // CKPT_CLI_TRANSFER_H_
