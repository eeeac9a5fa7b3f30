// Who may do what: the rules of the policy file.  What no rule allows is
// forbidden.
//
//   CKPT_ASSIGN_OR_RETURN(const Policy policy,
//                         Policy::Parse(text, UserNames::Real()));
//   if (!policy.Allows(caller, FREEZE, "/jobs/a")) ...
//
// A rule for "/jobs" is one for "/jobs/a", too, and none for "/jobs2".
//
// Value type; thread-compatible.
#ifndef CKPT_AGENT_POLICY_H_
#define CKPT_AGENT_POLICY_H_

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agent/caller.h"
#include "agent/policy.pb.h"

namespace ckpt::agent {

// The machine's users and groups: a seam for tests.
class UserNames {
 public:
  virtual ~UserNames() = default;
  // NotFound.
  virtual absl::StatusOr<uid_t> UserNumber(const std::string& name) = 0;
  virtual absl::StatusOr<gid_t> GroupNumber(const std::string& name) = 0;
  // Or "" when it has none.
  virtual std::string UserName(uid_t uid) = 0;

  // Those of the system; never destroyed.
  static UserNames& Real();
};

class Policy {
 public:
  // Without a file: root may do all, and everybody SELF_DUMP what is its own.
  static Policy WithoutFile();

  // InvalidArgument with the line, or with the rule and what is wrong: an
  // unknown verb, user or group, a path that is no path, a rule that allows
  // nobody or nothing.
  static absl::StatusOr<Policy> Parse(const std::string& text,
                                      UserNames& names);

  // Parse() of a file.  FailedPrecondition when others than root and its owner
  // may write to it, it is not root's or ours, or no regular file; NotFound,
  // ...
  static absl::StatusOr<Policy> Load(const std::string& path,
                                     UserNames& names = UserNames::Real());

  // `cgroup` is a path below its hierarchy ("/jobs/a").
  bool Allows(const Caller& caller, Verb verb, absl::string_view cgroup) const;

  // Whether it is allowed on some group.
  bool AllowsSomewhere(const Caller& caller, Verb verb) const;

  size_t rule_count() const { return entries_.size(); }

 private:
  struct Entry {
    bool everybody = false;
    std::vector<uid_t> uids;
    std::vector<gid_t> gids;
    std::vector<std::string> clients;
    std::vector<Verb> verbs;
    std::vector<std::string> cgroups;  // without a slash at the end
  };

  static absl::StatusOr<Entry> ParseRule(const Rule& rule, UserNames& names);
  static bool IsFor(const Entry& entry, const Caller& caller, Verb verb);

  std::vector<Entry> entries_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_POLICY_H_
