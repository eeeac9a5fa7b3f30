#include "freezer/group_lock.h"

#include <signal.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace ckpt::freezer {
namespace {

// A lease that ends, or a recovery, has the lock for a moment, with no entry of
// an operation.
constexpr int kMoments = 3;
constexpr absl::Duration kMoment = absl::Milliseconds(2);

absl::string_view WorkOf(v1::HoldPurpose purpose) {
  switch (purpose) {
    case v1::HOLD_PURPOSE_FREEZE:
      return "freezes, thaws or kills it";
    case v1::HOLD_PURPOSE_CHECKPOINT:
      return "checkpoints it";
    case v1::HOLD_PURPOSE_RESTORE:
      return "restores a job into it";
    default:
      return "works on it";
  }
}

absl::Status InUse(const Cgroup& group, const v1::Hold& hold) {
  const std::string who =
      absl::StrCat("process ", hold.pid(), " (", hold.comm(), ")");
  const bool died = ::kill(hold.pid(), 0) != 0 && errno == ESRCH;
  return absl::UnavailableError(absl::StrCat(
      "cgroup ", group.path(), " is in use by ",
      died ? absl::StrCat("the guardian of ", who,
                          ", which has died, and is being given back")
           : absl::StrCat(who, ", which ", WorkOf(hold.purpose())),
      "; try again when that is done"));
}

}  // namespace

absl::StatusOr<UniqueFd> LockGroup(Cgroup& group, Journal& journal) {
  for (int moment = 0;; ++moment) {
    auto lock = group.Lock();
    if (!absl::IsUnavailable(lock.status())) return lock;
    const auto entry = journal.Find(Journal::Kind::kOperation, group);
    if (entry.has_value() && !entry->hold().abandoned()) {
      return InUse(group, entry->hold());
    }
    if (moment == kMoments) return lock;
    Clock::Real().Sleep(kMoment);
  }
}

}  // namespace ckpt::freezer
