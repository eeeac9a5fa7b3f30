// Where the calls of jobs for their own checkpoints are judged (ckpt_self() of
// libckpt): by the policy, and by whose the job is.
//
//   SelfDesk desk(gate, work, "/var/lib/ckpt");
//   SelfService service(std::move(port), programs, [&](const SelfCall& call) {
//     return desk.Admit(call);
//   });
//
// Root of the node may have anything dumped, into any store, as it may without
// an agent.  Others have what checkpoint/self_rights.h grants them.
//
// Thread-safe if `work` is.  Borrows all for its lifetime.
#ifndef CKPT_AGENT_SELF_DESK_H_
#define CKPT_AGENT_SELF_DESK_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "agent/gate.h"
#include "agent/self_work.h"
#include "checkpoint/self_port.h"
#include "checkpoint/self_worker.h"

namespace ckpt::agent {

class SelfDesk {
 public:
  SelfDesk(const Gate& gate, SelfWork& work, std::string store)
      : gate_(gate), work_(work), store_(std::move(store)) {}

  // PermissionDenied by the policy; InvalidArgument for what only root of the
  // node may ask for.
  absl::StatusOr<checkpoint::SelfTerms> Admit(const checkpoint::SelfCall& call);

 private:
  const Gate& gate_;
  SelfWork& work_;
  const std::string store_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_SELF_DESK_H_
