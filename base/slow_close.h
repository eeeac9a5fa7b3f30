// Closing a descriptor whose last close() takes the kernel long, as that of a
// fanotify group does (8 to 20 ms on Linux 6.18), without waiting for it.
//
//   CloseElsewhere(std::move(fd));
#ifndef CKPT_BASE_SLOW_CLOSE_H_
#define CKPT_BASE_SLOW_CLOSE_H_

#include "base/unique_fd.h"

namespace ckpt {

// Leaves the last close() to a short-lived process that is nobody's child and
// has nothing else open.  Where none can be made, `fd` is closed here.
//
// Thread-safe.
void CloseElsewhere(UniqueFd fd);

}  // namespace ckpt

#endif  // CKPT_BASE_SLOW_CLOSE_H_
