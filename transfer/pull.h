// Gets an image from another node.
//
//   CKPT_ASSIGN_OR_RETURN(v1::TransferReport report,
//                         Pull(link, "job7", receiver, "job7", options));
//
// What has arrived is kept when it fails, and the next call goes on from there
// if the other node still has that very image.
//
// Errors: those of PullImage (proto/agent.proto) and of transfer/receiver.h;
// Cancelled; Unavailable when the node cannot be reached any more.
#ifndef CKPT_TRANSFER_PULL_H_
#define CKPT_TRANSFER_PULL_H_

#include <string>

#include "absl/status/statusor.h"
#include "proto/transfer.pb.h"
#include "transfer/link.h"
#include "transfer/push.h"
#include "transfer/receiver.h"

namespace ckpt::transfer {

// `name` is what the image gets here.  Thread-safe.
absl::StatusOr<v1::TransferReport> Pull(Link& link, const std::string& image,
                                        Receiver& receiver,
                                        const std::string& name,
                                        const TransferOptions& options);

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_PULL_H_
