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

struct PushOrder {
  std::string image;  // by name or path, of --store
  std::string as;     // its name there; "": its own
  std::string node;
  bool restored_soon = false;  // as v1::ImageAnnouncement has it
};

// Sends an image to a node.
absl::StatusOr<v1::TransferReport> PushImage(const PushOrder& order,
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
