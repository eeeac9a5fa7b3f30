#include "checkpoint/task_owner.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace ckpt::checkpoint {
namespace {

// proc(5): real, effective, saved, and of the file system.
constexpr size_t kUserIds = 4;

bool IsOnly(const std::string& ids, uid_t uid) {
  const std::vector<std::string> fields =
      absl::StrSplit(ids, absl::ByAnyChar("\t "), absl::SkipEmpty());
  return fields.size() == kUserIds &&
         std::all_of(fields.begin(), fields.end(),
                     [uid](const std::string& field) {
                       uint32_t id = 0;
                       return absl::SimpleAtoi(field, &id) && id == uid;
                     });
}

absl::Status Foreign(ProcFs& proc, pid_t tid, absl::string_view what) {
  return absl::PermissionDeniedError(
      absl::StrCat("process ", DescribeTask(proc, tid), what,
                   ", and a user other than root may have only what is all its "
                   "own checkpointed"));
}

absl::Status CheckThread(ProcFs& proc, pid_t tid, uid_t uid) {
  const auto ids = proc.StatusField(tid, "Uid");
  if (absl::IsNotFound(ids.status())) return absl::OkStatus();  // it has ended
  CKPT_RETURN_IF_ERROR(ids.status());
  if (IsOnly(*ids, uid)) return absl::OkStatus();
  const std::vector<std::string> fields = absl::StrSplit(*ids, '\t');
  return Foreign(proc, tid,
                 absl::StrCat(" has the user ids ", absl::StrJoin(fields, " "),
                              ", not only ", uid));
}

// In a user namespace of its own, a task may be more than its id says.
absl::Status CheckNamespace(ProcFs& proc, pid_t pid) {
  const auto map = proc.Read(pid, "uid_map");
  if (absl::IsNotFound(map.status())) return absl::OkStatus();
  CKPT_RETURN_IF_ERROR(map.status());
  CKPT_ASSIGN_OR_RETURN(const std::string ours,
                        proc.Read(::getpid(), "uid_map"));
  if (*map == ours) return absl::OkStatus();
  return Foreign(proc, pid, " is in a user namespace of its own");
}

UniqueFd PidNamespaceOf(pid_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/ns/pid");
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

bool IsSameFile(int one, int other) {
  struct stat a, b;
  return ::fstat(one, &a) == 0 && ::fstat(other, &b) == 0 &&
         a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Whether `inner` is `outer` or below it.
bool IsWithin(UniqueFd inner, int outer) {
  while (inner.ok()) {
    if (IsSameFile(inner.get(), outer)) return true;
    // Ends above our own (ioctl_ns(2)).
    inner = UniqueFd(::ioctl(inner.get(), NS_GET_PARENT));
  }
  return false;
}

}  // namespace

absl::Status CheckPidNamespace(ProcFs& proc, const std::vector<pid_t>& pids,
                               pid_t asker) {
  const UniqueFd outer = PidNamespaceOf(asker);
  if (!outer.ok()) {
    return ErrnoToStatus(errno, "open the PID namespace of process",
                         absl::StrCat(asker));
  }
  for (const pid_t pid : pids) {
    UniqueFd inner = PidNamespaceOf(pid);
    if (!inner.ok() && (errno == ENOENT || errno == ESRCH)) continue;
    if (IsWithin(std::move(inner), outer.get())) continue;
    return absl::PermissionDeniedError(
        absl::StrCat("process ", DescribeTask(proc, pid),
                     " is outside of the PID namespace of process ", asker,
                     ", and root of a container may have only what is inside "
                     "it checkpointed"));
  }
  return absl::OkStatus();
}

absl::Status CheckOwner(ProcFs& proc, const std::vector<pid_t>& pids,
                        uid_t uid) {
  for (const pid_t pid : pids) {
    const auto threads = proc.Threads(pid);
    if (absl::IsNotFound(threads.status())) continue;
    CKPT_RETURN_IF_ERROR(threads.status());
    CKPT_RETURN_IF_ERROR(CheckNamespace(proc, pid));
    for (const pid_t tid : *threads) {
      CKPT_RETURN_IF_ERROR(CheckThread(proc, tid, uid));
    }
  }
  return absl::OkStatus();
}

}  // namespace ckpt::checkpoint
