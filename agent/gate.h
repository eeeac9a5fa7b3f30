// The gate that every request passes: the policy's decision, written down.
//
//   Gate gate(policy, AuditTo(STDERR_FILENO));
//   CKPT_RETURN_IF_ERROR(gate.AdmitVerb(caller, FREEZE, "job1"));
//   ... find out which group is meant ...
//   CKPT_RETURN_IF_ERROR(gate.Admit(caller, FREEZE, {"/jobs/a"}, ""));
//   gate.Use(new_policy);
//
// Each function decides by one policy, whatever Use() does meanwhile.
//
// The audit log has a line for each decision: JSON, so that no name that a
// caller chooses can be taken for something else.
//
// Thread-safe.
#ifndef CKPT_AGENT_GATE_H_
#define CKPT_AGENT_GATE_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "agent/caller.h"
#include "agent/policy.h"

namespace ckpt::agent {

class Gate {
 public:
  // Called with a line and its newline, by several threads.
  using Audit = std::function<void(const std::string& line)>;

  Gate(Policy policy, Audit audit)
      : audit_(std::move(audit)),
        policy_(std::make_shared<const Policy>(std::move(policy))) {}

  // What is decided once it has returned, is decided by `policy`.  What was
  // admitted stays so.
  void Use(Policy policy);

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
    return Current()->Allows(caller, verb, cgroup);
  }

 private:
  std::shared_ptr<const Policy> Current() const;
  absl::Status DecideVerb(const Policy& policy, const Caller& caller, Verb verb,
                          absl::string_view subject) const;
  void Write(const Caller& caller, Verb verb,
             const std::vector<std::string>& cgroups, absl::string_view subject,
             bool allowed) const;

  const Audit audit_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<const Policy> policy_ ABSL_GUARDED_BY(mutex_);
};

// Writes each line with one write(); what cannot be written is lost.
Gate::Audit AuditTo(int fd);

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_GATE_H_
