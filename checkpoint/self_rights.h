// What a process that asks for its own checkpoint (self_port.h) may have of the
// node, for the services that make it.
//
//   if (IsRootOfNode(call)) ...             // anything: it could do it itself
//   CKPT_ASSIGN_OR_RETURN(SelfTerms terms, BoundTerms(call, store));
//   CKPT_RETURN_IF_ERROR(MakeUserStore(store, call.uid));
//
// Others, users and root of a container among them, name their images, and
// nothing more of the node: these are in a directory of the user's own below
// the store, which is root's alone.
#ifndef CKPT_CHECKPOINT_SELF_RIGHTS_H_
#define CKPT_CHECKPOINT_SELF_RIGHTS_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "checkpoint/self_port.h"
#include "checkpoint/self_worker.h"

namespace ckpt::checkpoint {

// Root, and with this process's own files and users: not that of a container.
bool IsRootOfNode(const SelfCall& call);

// The user's directory.
std::string UserStore(const std::string& store, uid_t uid);

// For callers other than root of the node.  InvalidArgument: it wishes for what
// only that one may have.
absl::StatusOr<SelfTerms> BoundTerms(const SelfCall& call,
                                     const std::string& store);

// Makes UserStore(), and what is missing above it, for root alone.
absl::Status MakeUserStore(const std::string& store, uid_t uid);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_SELF_RIGHTS_H_
