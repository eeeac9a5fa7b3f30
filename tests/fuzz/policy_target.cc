// The policy file, and the line that is written down of each decision.
#include <string>

#include "absl/strings/match.h"
#include "agent/gate.h"
#include "agent/policy.h"
#include "tests/fuzz/target.h"

namespace ckpt::fuzz {
namespace {

using agent::Caller;
using agent::Policy;

class NoUsers : public agent::UserNames {
 public:
  absl::StatusOr<uid_t> UserNumber(const std::string& name) override {
    if (name == "alice") return 1000;
    return absl::NotFoundError("no such user");
  }
  absl::StatusOr<gid_t> GroupNumber(const std::string& name) override {
    if (name == "ops") return 100;
    return absl::NotFoundError("no such group");
  }
  std::string UserName(uid_t) override { return ""; }
};

void Run(absl::string_view text) {
  NoUsers names;
  const auto policy = Policy::Parse(std::string(text), names);
  if (!policy.ok()) {
    Require(absl::IsInvalidArgument(policy.status()),
            "a policy that is refused is an invalid argument");
    return;
  }
  std::string audit;
  const agent::Gate gate(*policy,
                         [&audit](const std::string& line) { audit += line; });
  Caller nobody;
  Caller user;
  user.uid = 1000;
  user.gids = {100};
  // Whatever a caller names must not begin a line of its own.
  user.name = std::string(text.substr(0, 100));
  const std::string subject(text.substr(0, 200));
  for (const char* const group : {"/", "/jobs", "/jobs/a", "/jobs2", ""}) {
    for (int verb = agent::FREEZE; verb <= agent::Verb_MAX; ++verb) {
      if (!agent::Verb_IsValid(verb)) continue;
      const auto which = static_cast<agent::Verb>(verb);
      Require(!policy->Allows(nobody, which, group),
              "who is nobody may do nothing");
      Require(!policy->Allows(user, which, group) ||
                  policy->AllowsSomewhere(user, which),
              "what is allowed on a group is allowed somewhere");
      Require(gate.Admit(user, which, {group}, subject).ok() ==
                  policy->Allows(user, which, group),
              "the gate does what the policy says");
      Require(
          absl::EndsWith(audit, "\n") && audit.find('\n') == audit.size() - 1,
          "a decision is one line");
      audit.clear();
    }
  }
}

}  // namespace

Target PolicyTarget() { return {.name = "policy", .run = &Run}; }

}  // namespace ckpt::fuzz
