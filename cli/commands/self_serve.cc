#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "checkpoint/self_port.h"
#include "checkpoint/self_rights.h"
#include "checkpoint/self_service.h"
#include "checkpoint/self_worker.h"
#include "cli/command.h"
#include "cli/common.h"
#include "proto/self_request.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<checkpoint::SelfTerms> Admit(const checkpoint::SelfCall& call,
                                            const std::string& store) {
  if (call.uid != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        "user ", call.uid,
        " may not have anything checkpointed by this service, which is for "
        "root; ckptd serves others; nothing was touched"));
  }
  if (checkpoint::IsRootOfNode(call)) {
    checkpoint::SelfTerms terms;
    terms.store = call.store.empty() ? store : call.store;
    return terms;
  }
  CKPT_ASSIGN_OR_RETURN(checkpoint::SelfTerms terms,
                        checkpoint::BoundTerms(call, store));
  CKPT_RETURN_IF_ERROR(checkpoint::MakeUserStore(store, call.uid));
  return terms;
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  std::string path = arguments.Get("socket");
  if (path.empty()) path = CKPT_SELF_SOCKET;
  CKPT_ASSIGN_OR_RETURN(auto port, checkpoint::SelfPort::Listen(path));
  const std::string store = StoreFlag(arguments).directory();
  checkpoint::SelfService service(
      std::move(port),
      {.ckpt = "/proc/self/exe", .criu = arguments.Get("criu")},
      [&store](const checkpoint::SelfCall& call) {
        return Admit(call, store);
      });
  CKPT_RETURN_IF_ERROR(service.Serve(*context.cancel));
  return Output();
}

}  // namespace

Command SelfServeCommand() {
  return {
      "self-serve",
      "make checkpoints for programs that cannot start ckpt outside their job",
      "",
      "A process that is process 1 of its PID namespace, as in most "
      "containers, cannot start anything\noutside of its own tree.  Its "
      "ckpt_self() asks this service, by a socket that must be visible to it,\n"
      "as by a bind mount.  Only root is served, that of a container with its "
      "own tasks and names only;\nckptd serves other users, too, by a policy.  "
      "Ends on Ctrl-C or SIGTERM.",
      "ckpt self-serve --socket /run/ckpt/self.sock",
      /*needs_root=*/true,
      WithStoreFlag(
          {{"socket", "PATH",
            "where to listen (" CKPT_SELF_SOCKET
            "); programs look there, or at "
            "$" CKPT_SELF_SOCKET_VARIABLE},
           {"criu", "PATH", "CRIU's program ($CKPT_CRIU, then PATH)"}}),
      &Run};
}

}  // namespace ckpt::cli
