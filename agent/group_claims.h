// One operation at a time on a group and those below it, among all that the
// agent does.  (Against other programs each operation takes the group's own
// lock: freezer/group_lock.h.)
//
//   CKPT_ASSIGN_OR_RETURN(GroupClaims::Claim claim,
//                         claims.Take({path}, "a dump (operation 4fa1)"));
//
// Thread-safe.
#ifndef CKPT_AGENT_GROUP_CLAIMS_H_
#define CKPT_AGENT_GROUP_CLAIMS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace ckpt::agent {

class GroupClaims {
 public:
  // Held by its copies; given up with the last.  The GroupClaims must outlive
  // it.
  using Claim = std::shared_ptr<void>;

  // Claims directories (absolute paths), all or none.  Unavailable when one of
  // them, one above or one below is claimed: the message tells by what.
  absl::StatusOr<Claim> Take(const std::vector<std::string>& paths,
                             const std::string& what);

 private:
  void GiveUp(const std::vector<std::string>& paths);

  absl::Mutex mutex_;
  std::map<std::string, std::string> claimed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_GROUP_CLAIMS_H_
