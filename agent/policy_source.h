// Where ckptd's policy comes from: the file that it is told of, or else the
// default one, which need not be there.
//
//   PolicySource source(options.policy_file, kDefaultPolicyFile);
//   CKPT_ASSIGN_OR_RETURN(Policy policy, source.Load());
//
// Thread-compatible.
#ifndef CKPT_AGENT_POLICY_SOURCE_H_
#define CKPT_AGENT_POLICY_SOURCE_H_

#include <string>

#include "absl/status/statusor.h"
#include "agent/policy.h"

namespace ckpt::agent {

class PolicySource {
 public:
  // `file`: "" is `default_file`.
  PolicySource(const std::string& file, const std::string& default_file);

  // Policy::Load(), or Policy::WithoutFile() while there has never been a
  // default file: one that goes away gives root no more rights than it had.
  // NotFound then.
  absl::StatusOr<Policy> Load();

 private:
  const std::string path_;
  bool required_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_POLICY_SOURCE_H_
