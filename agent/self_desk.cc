#include "agent/self_desk.h"

#include <vector>

#include "base/status.h"
#include "checkpoint/self_rights.h"

namespace ckpt::agent {

absl::StatusOr<checkpoint::SelfTerms> SelfDesk::Admit(
    const checkpoint::SelfCall& call) {
  const Caller caller = work_.CallerOf(call);
  CKPT_RETURN_IF_ERROR(gate_.AdmitVerb(caller, SELF_DUMP, call.image));
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> groups,
                        work_.GroupsOf(call));
  CKPT_RETURN_IF_ERROR(gate_.Admit(caller, SELF_DUMP, groups, call.image));
  if (work_.IsRootOfNode(call)) {
    checkpoint::SelfTerms terms;
    terms.store = call.store.empty() ? store_ : call.store;
    return terms;
  }
  CKPT_ASSIGN_OR_RETURN(checkpoint::SelfTerms terms,
                        checkpoint::BoundTerms(call, store_));
  CKPT_RETURN_IF_ERROR(work_.MakeUserStore(store_, call.uid));
  return terms;
}

}  // namespace ckpt::agent
