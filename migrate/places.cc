#include "migrate/places.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "migrate/states.h"

namespace ckpt::migrate {
namespace {

// Whether a group is the other, or below it.
bool IsWithin(const std::string& group, const std::string& other) {
  return group == other || absl::StartsWith(group, other + "/");
}

absl::Status IsReserved(const std::string& cgroup,
                        const v1::MigrationRecord& other) {
  return absl::FailedPreconditionError(absl::StrCat(
      "cgroup ", cgroup, " of the destination is reserved for migration ",
      other.id(), " from ", other.peer_name(), " (", StateName(other.state()),
      ", to ", other.cgroup(),
      "): wait for its end, or name another group with --to-cgroup; nothing "
      "was touched"));
}

}  // namespace

absl::Status Places::CheckIsFree(const v1::MigrationRecord& record) {
  CKPT_ASSIGN_OR_RETURN(const auto all, journal_.Load());
  size_t of_one = 0;
  for (const v1::MigrationRecord& other : all) {
    if (other.id() == record.id() || IsOfSource(other.state()) ||
        IsFinal(other.state())) {
      continue;
    }
    if (IsWithin(other.cgroup(), record.cgroup()) ||
        IsWithin(record.cgroup(), other.cgroup())) {
      return IsReserved(record.cgroup(), other);
    }
    if (!IsTaken(other.state()) &&
        other.reserved_by() == record.reserved_by()) {
      ++of_one;
    }
  }
  if (of_one < kMaxOfOne) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      of_one, " migrations of ", record.reserved_by(),
      " to the destination are not decided, as many as may be: let some end, "
      "cancel them (ckpt ops cancel ID at their source), or, where the source "
      "is lost, drop them (ckpt ops decide ID --drop at the destination); "
      "nothing was touched"));
}

void Places::Heard(const std::string& id) {
  const absl::MutexLock lock(&mutex_);
  heard_[id] = clock_.Now();
}

void Places::Forget(const std::string& id) {
  const absl::MutexLock lock(&mutex_);
  heard_.erase(id);
}

bool Places::IsExpired(const v1::MigrationRecord& record) {
  if (record.state() != v1::MIGRATION_STATE_RESERVED) return false;
  const absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_.Now();
  const absl::Time heard = heard_.emplace(record.id(), now).first->second;
  return now - heard > DecisionLimit(record.request()) + kLimit;
}

}  // namespace ckpt::migrate
