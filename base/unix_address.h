// The address of a socket in the file system.
//
//   CKPT_ASSIGN_OR_RETURN(const sockaddr_un address, UnixAddress(path));
//
// Thread-safe.
#ifndef CKPT_BASE_UNIX_ADDRESS_H_
#define CKPT_BASE_UNIX_ADDRESS_H_

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace ckpt {

// InvalidArgument: no path, or too long a one.
inline absl::StatusOr<sockaddr_un> UnixAddress(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("socket path '", path, "' has not 1 to ",
                     sizeof(address.sun_path) - 1, " characters"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

}  // namespace ckpt

#endif  // CKPT_BASE_UNIX_ADDRESS_H_
