// What the kernel knows of a process that asks for its own checkpoint: a seam,
// so that who may do what is tested without one.
#ifndef CKPT_AGENT_SELF_WORK_H_
#define CKPT_AGENT_SELF_WORK_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/caller.h"
#include "agent/policy.h"
#include "checkpoint/self_port.h"

namespace ckpt::agent {

class SelfWork {
 public:
  virtual ~SelfWork() = default;

  virtual Caller CallerOf(const checkpoint::SelfCall& call) = 0;

  // As those of checkpoint/self_rights.h.
  virtual bool IsRootOfNode(const checkpoint::SelfCall& call) = 0;

  // Paths below their hierarchies of the groups that the job is in, and of the
  // one that it names; "/" if it is in none but the top.  NotFound.
  virtual absl::StatusOr<std::vector<std::string>> GroupsOf(
      const checkpoint::SelfCall& call) = 0;

  virtual absl::Status MakeUserStore(const std::string& store, uid_t uid) = 0;
};

// Thread-compatible.
class RealSelfWork : public SelfWork {
 public:
  // Borrows `names` for its lifetime.
  explicit RealSelfWork(UserNames& names) : names_(names) {}

  Caller CallerOf(const checkpoint::SelfCall& call) override;
  bool IsRootOfNode(const checkpoint::SelfCall& call) override;
  absl::StatusOr<std::vector<std::string>> GroupsOf(
      const checkpoint::SelfCall& call) override;
  absl::Status MakeUserStore(const std::string& store, uid_t uid) override;

 private:
  UserNames& names_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_SELF_WORK_H_
