// The ids by which operations, and the migrations that they are, are called.
//
//   if (!IsId(operation.id())) return absl::InvalidArgumentError(...);
//
// Thread-safe.
#ifndef CKPT_BASE_ID_H_
#define CKPT_BASE_ID_H_

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace ckpt {

// 1 to 100 letters, digits and . _ - without a dot first: a file's name.
inline bool IsId(absl::string_view id) {
  constexpr size_t kMaxBytes = 100;
  return !id.empty() && id.size() <= kMaxBytes && id[0] != '.' &&
         std::all_of(id.begin(), id.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

}  // namespace ckpt

#endif  // CKPT_BASE_ID_H_
