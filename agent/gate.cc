#include "agent/gate.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agent/audit.pb.h"
#include "base/status.h"
#include "base/utf8.h"
#include "google/protobuf/util/json_util.h"

namespace ckpt::agent {
namespace {

absl::Status Denied(const Caller& caller, Verb verb, absl::string_view what) {
  return absl::PermissionDeniedError(absl::StrCat(
      caller.name, " may not ", Verb_Name(verb), what.empty() ? "" : " ", what,
      ": the policy of this node's ckptd has no rule that allows it; nothing "
      "was touched"));
}

std::string Now() {
  return absl::FormatTime(absl::RFC3339_full, absl::Now(), absl::UTCTimeZone());
}

// Names are the caller's to choose, and may be as long as a request.
constexpr size_t kMostSubjectBytes = 1000;
constexpr size_t kMostCgroups = 100;

std::string Cut(absl::string_view subject) {
  if (subject.size() <= kMostSubjectBytes) return ToUtf8(subject);
  return absl::StrCat(ToUtf8(subject.substr(0, kMostSubjectBytes)), " ... (",
                      subject.size(), " bytes)");
}

std::string TextOf(const AuditLine& line) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string json;
  (void)google::protobuf::util::MessageToJsonString(line, &json, options);
  return absl::StrCat("audit ", json, "\n");
}

}  // namespace

void Gate::Write(const Caller& caller, Verb verb,
                 const std::vector<std::string>& cgroups,
                 absl::string_view subject, bool allowed) const {
  AuditLine line;
  line.set_time(Now());
  line.set_caller(caller.name);
  line.set_verb(Verb_Name(verb));
  for (const std::string& cgroup : cgroups) {
    if (line.cgroups_size() == kMostCgroups) {
      line.add_cgroups(
          absl::StrCat("and ", cgroups.size() - kMostCgroups, " more"));
      break;
    }
    line.add_cgroups(cgroup);
  }
  line.set_subject(Cut(subject));
  line.set_allowed(allowed);
  line.set_address(caller.address);
  audit_(TextOf(line));
}

void Gate::RefusedConnection(absl::string_view reason) const {
  AuditLine line;
  line.set_time(Now());
  line.set_caller("unknown");
  line.set_verb("CONNECT");
  line.set_reason(std::string(reason));
  audit_(TextOf(line));
}

void Gate::Use(Policy policy) {
  auto next = std::make_shared<const Policy>(std::move(policy));
  // The one before ends with the last decision by it, and not under the lock.
  const absl::MutexLock lock(&mutex_);
  policy_.swap(next);
}

std::shared_ptr<const Policy> Gate::Current() const {
  const absl::MutexLock lock(&mutex_);
  return policy_;
}

absl::Status Gate::DecideVerb(const Policy& policy, const Caller& caller,
                              Verb verb, absl::string_view subject) const {
  if (policy.AllowsSomewhere(caller, verb)) return absl::OkStatus();
  Write(caller, verb, {}, subject, /*allowed=*/false);
  return Denied(caller, verb, "");
}

absl::Status Gate::AdmitVerb(const Caller& caller, Verb verb,
                             absl::string_view subject) const {
  return DecideVerb(*Current(), caller, verb, subject);
}

absl::Status Gate::Admit(const Caller& caller, Verb verb,
                         const std::vector<std::string>& cgroups,
                         absl::string_view subject) const {
  const std::shared_ptr<const Policy> policy = Current();
  if (cgroups.empty()) {
    CKPT_RETURN_IF_ERROR(DecideVerb(*policy, caller, verb, subject));
  }
  for (const std::string& cgroup : cgroups) {
    if (!policy->Allows(caller, verb, cgroup)) {
      Write(caller, verb, cgroups, subject, /*allowed=*/false);
      return Denied(caller, verb, cgroup);
    }
  }
  Write(caller, verb, cgroups, subject, /*allowed=*/true);
  return absl::OkStatus();
}

Gate::Audit AuditTo(int fd) {
  return [fd](const std::string& line) {
    (void)!::write(fd, line.data(), line.size());
  };
}

}  // namespace ckpt::agent
