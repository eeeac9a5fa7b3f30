// CRIU's lock of the network: while the tasks of kept TCP connections are held,
// or gone, a table of nftables drops the packets of these connections.  Without
// it the kernel, finding no socket, would answer with a reset.
//
//   CKPT_ASSIGN_OR_RETURN(const std::string table, FindNetworkLock(run_id));
//   if (!table.empty()) CKPT_RETURN_IF_ERROR(RemoveNetworkLock(table));
//
// CRIU removes it itself when a dump fails, and when the image is restored in
// the same network namespace; all else is left to others.  The table is that of
// the caller's network namespace.  No nft program is needed.  Thread-safe.
#ifndef CKPT_CRIU_NETWORK_LOCK_H_
#define CKPT_CRIU_NETWORK_LOCK_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace ckpt::criu {

// All of the following: InvalidArgument when there is no name, PermissionDenied
// without CAP_NET_ADMIN, and else the code of the errno that the kernel answers
// with; nothing is changed then.

// The table, of the family inet, that the CRIU of `run_id` (of the image's
// inventory) has made; "" if there is none.
absl::StatusOr<std::string> FindNetworkLock(const std::string& run_id);

absl::StatusOr<bool> NetworkLockExists(const std::string& table);

// OK: there is no such table any more.
absl::Status RemoveNetworkLock(const std::string& table);

// For a guardian: RemovalMessage(), written to such a socket at once, removes
// the table from the network namespace in which the socket was opened.  ""
// without a name.
absl::StatusOr<UniqueFd> OpenNetfilter();
std::string RemovalMessage(const std::string& table);

}  // namespace ckpt::criu

#endif  // CKPT_CRIU_NETWORK_LOCK_H_
