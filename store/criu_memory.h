// The memory of a dumped process, in an image that is still being written.
//
//   CKPT_RETURN_IF_ERROR(WriteImageMemory(*pending, pid, address, bytes));
//
// Changes a file: call it before Seal().
#ifndef CKPT_STORE_CRIU_MEMORY_H_
#define CKPT_STORE_CRIU_MEMORY_H_

#include <sys/types.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "store/pending_image.h"

namespace ckpt {

// Overwrites what process `pid` (the number that it has in the image) will find
// at `address` when it is restored.  The bytes must not cross a page.
// DataLoss: the page is not in the image (it was never written to, or is a
// clean page of a file), or the image is damaged.  InvalidArgument: they cross
// a page.
absl::Status WriteImageMemory(PendingImage& image, pid_t pid, uint64_t address,
                              absl::string_view bytes);

}  // namespace ckpt

#endif  // CKPT_STORE_CRIU_MEMORY_H_
