// Entries of CRIU's files.img in words.
#ifndef CKPT_STORE_CRIU_DESCRIPTIONS_H_
#define CKPT_STORE_CRIU_DESCRIPTIONS_H_

#include <string>

#include "absl/types/optional.h"
#include "store/criu_images.h"
#include "store/criu_images.pb.h"

namespace ckpt {

// The socket that `entry` is, if it is one.  For a Unix socket `remote` is left
// to the caller, who knows the other sockets.  Thread-safe.
absl::optional<ImageSocket> SocketOf(const criu_images::FileEntry& entry);

// The address of a Unix socket: a path, "@abstract", or "" without a name.
// Thread-safe.
std::string UnixName(const criu_images::UnixSocket& socket);

// "tcp 10.0.0.1:80 -> 10.0.0.2:4711 ESTABLISHED".  Thread-safe.
std::string DescribeSocket(const ImageSocket& socket);

// "pipe:[7]", "eventfd", "timerfd" ...: what has no path.  Thread-safe.
std::string DescribeNameless(const criu_images::FileEntry& entry);

// A build-id as file(1) prints it, or "".  Thread-safe.
std::string BuildIdOf(const criu_images::RegFile& file);

}  // namespace ckpt

#endif  // CKPT_STORE_CRIU_DESCRIPTIONS_H_
