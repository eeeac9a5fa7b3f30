#include "checkpoint/task_owner.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

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

}  // namespace

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
