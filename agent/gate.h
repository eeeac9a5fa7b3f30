// The gate that every request passes: the policy's decision, written down.
//
//   Gate gate(policy, AuditTo(STDERR_FILENO));
//   CKPT_RETURN_IF_ERROR(gate.AdmitVerb(caller, FREEZE, "job1"));
//   ... find out which group is meant ...
//   CKPT_RETURN_IF_ERROR(gate.Admit(caller, FREEZE, {"/jobs/a"}, ""));
//
// The audit log has a line for each decision: JSON, so that no name that a
// caller chooses can be taken for something else.
//
// Thread-safe.
#ifndef CKPT_AGENT_GATE_H_
#define CKPT_AGENT_GATE_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "agent/caller.h"
#include "agent/policy.h"

namespace ckpt::agent {

class Gate {
 public:
  // Called with a line and its newline, by several threads.
  using Audit = std::function<void(const std::string& line)>;

  Gate(Policy policy, Audit audit)
      : policy_(std::move(policy)), audit_(std::move(audit)) {}

  // PermissionDenied, written down, when the caller has the verb nowhere: it
  // is not to learn what there is.  `subject` is what it named.
  absl::Status AdmitVerb(const Caller& caller, Verb verb,
                         absl::string_view subject) const;

  // The decision on the groups; all must be allowed.  Without any, the verb
  // anywhere is enough.  PermissionDenied names the first that is not.
  absl::Status Admit(const Caller& caller, Verb verb,
                     const std::vector<std::string>& cgroups,
                     absl::string_view subject) const;

  // Writes down a connection that was refused before anybody was known.
  void RefusedConnection(absl::string_view reason) const;

  // What lists are filtered by; not written down.
  bool MaySee(const Caller& caller, Verb verb, absl::string_view cgroup) const {
    return policy_.Allows(caller, verb, cgroup);
  }

 private:
  void Write(const Caller& caller, Verb verb,
             const std::vector<std::string>& cgroups, absl::string_view subject,
             bool allowed) const;

  const Policy policy_;
  const Audit audit_;
};

// Writes each line with one write(); what cannot be written is lost.
Gate::Audit AuditTo(int fd);

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_GATE_H_
