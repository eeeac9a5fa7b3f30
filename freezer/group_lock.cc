#include "freezer/group_lock.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/proc.h"

namespace ckpt::freezer {
namespace {

// A lease that ends, or a recovery, has the lock for a moment, with no entry of
// an operation.
constexpr int kMoments = 3;
constexpr int kEndMilliseconds = 1000;  // of a process that is killed
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

bool HasDied(const v1::Hold& hold) {
  return ::kill(hold.pid(), 0) != 0 && errno == ESRCH;
}

// Whether a process has the open file description that a lock belongs to.
bool HasLock(pid_t pid, const struct stat& locked) {
  const auto files = ProcFs::Real().OpenFiles(pid);
  if (!files.ok()) return false;
  return std::any_of(files->begin(), files->end(), [&](const OpenFile& file) {
    struct stat about {};
    const std::string path = absl::StrCat("/proc/", pid, "/fd/", file.fd);
    if (::stat(path.c_str(), &about) != 0 || about.st_dev != locked.st_dev ||
        about.st_ino != locked.st_ino) {
      return false;
    }
    const auto info =
        ProcFs::Real().Read(pid, absl::StrCat("fdinfo/", file.fd));
    return info.ok() && absl::StrContains(*info, "FLOCK");
  });
}

absl::Status InUse(const Cgroup& group, const v1::Hold& hold) {
  const std::string who =
      absl::StrCat("process ", hold.pid(), " (", hold.comm(), ")");
  const bool died = HasDied(hold);
  return absl::UnavailableError(absl::StrCat(
      "cgroup ", group.path(), " is in use by ",
      died ? absl::StrCat("the guardian of ", who,
                          ", which has died, and is being given back")
           : absl::StrCat(who, ", which ", WorkOf(hold.purpose())),
      "; try again when that is done"));
}

}  // namespace

bool EndOrphan(Cgroup& group, const v1::Hold& hold) {
  if (!HasDied(hold)) return false;
  ProcFs& proc = ProcFs::Real();
  const auto own = group.OpenForLock();
  struct stat locked {};
  if (!own.ok() || ::fstat(own->get(), &locked) != 0) return false;
  const auto pids = proc.Processes();
  if (!pids.ok()) return false;
  bool ended = false;
  for (const pid_t pid : *pids) {
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    const auto task = proc.Stat(pid);
    if (!pidfd.ok() || !task.ok() || task->state != 'T' || task->sid <= 0 ||
        proc.Stat(task->sid).ok() || !HasLock(pid, locked)) {
      continue;
    }
    pollfd exit = {.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    ended = (::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr,
                       0) == 0 &&
             ::poll(&exit, 1, kEndMilliseconds) == 1) ||
            ended;
  }
  return ended;
}

absl::StatusOr<UniqueFd> LockGroup(Cgroup& group, Journal& journal) {
  for (int moment = 0;; ++moment) {
    auto lock = group.Lock();
    if (!absl::IsUnavailable(lock.status())) return lock;
    const auto entry = journal.Find(Journal::Kind::kOperation, group);
    const bool works = entry.has_value() && !entry->hold().abandoned();
    if (works && !EndOrphan(group, entry->hold())) {
      return InUse(group, entry->hold());
    }
    if (moment == kMoments) return lock;
    Clock::Real().Sleep(kMoment);
  }
}

}  // namespace ckpt::freezer
