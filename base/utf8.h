// Text from the kernel, which is any bytes, for messages, which are UTF-8: one
// with other bytes in a string cannot be read again (protobuf refuses it).
//
//   task.set_comm(ToUtf8(comm));
//
// Thread-safe.
#ifndef CKPT_BASE_UTF8_H_
#define CKPT_BASE_UTF8_H_

#include <string>

#include "absl/strings/string_view.h"

namespace ckpt {

bool IsUtf8(absl::string_view text);

// `text` with a '?' in the place of each byte that does not belong there.
std::string ToUtf8(absl::string_view text);

}  // namespace ckpt

#endif  // CKPT_BASE_UTF8_H_
