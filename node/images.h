// What is done to images without a job, from a name to a report: the same for
// `ckpt` and for the node's agent.
//
//   CKPT_ASSIGN_OR_RETURN(v1::ImageReport report, GetImage(store, "monday"));
//
// Errors: of ImageStore::Open(), List() and Remove(), and of Image::Verify().
//
// Thread-safe.
#ifndef CKPT_NODE_IMAGES_H_
#define CKPT_NODE_IMAGES_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "proto/checkpoint.pb.h"
#include "store/image_store.h"

namespace ckpt::node {

// Oldest first; images at paths of their own are not listed.
absl::StatusOr<v1::ImageListReport> ListImages(const ImageStore& store);

// With what CRIU's files tell.
absl::StatusOr<v1::ImageReport> GetImage(const ImageStore& store,
                                         const std::string& name);

// Reads everything.  DataLoss names what differs.  `cancel` may be null.
absl::StatusOr<v1::VerifyReport> VerifyImage(
    const ImageStore& store, const std::string& name,
    const Cancellation* cancel = nullptr);

// Also what has arrived of an image, if nobody sends it now.
absl::StatusOr<v1::RemoveReport> RemoveImage(const ImageStore& store,
                                             const std::string& name);

// Pins or unpins.  Errors also: those of ImageStore::Pin().
absl::StatusOr<v1::PinReport> PinImage(const ImageStore& store,
                                       const std::string& name, bool pinned);

}  // namespace ckpt::node

#endif  // CKPT_NODE_IMAGES_H_
