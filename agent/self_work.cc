#include "agent/self_work.h"

#include <sys/stat.h>

#include <cerrno>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/local_listener.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/status.h"
#include "freezer/lookup.h"

namespace ckpt::agent {
namespace {

bool SharesNamespace(pid_t pid, const std::string& kind) {
  const auto theirs = ReadLink(absl::StrCat("/proc/", pid, "/ns/", kind));
  const auto ours = ReadLink(absl::StrCat("/proc/self/ns/", kind));
  return theirs.ok() && ours.ok() && *theirs == *ours;
}

}  // namespace

Caller RealSelfWork::CallerOf(const checkpoint::SelfCall& call) {
  std::vector<gid_t> gids = {call.gid};
  const auto groups = ProcFs::Real().StatusField(call.asker.pid, "Groups");
  // Whose they are is sure if the caller has not ended by now.
  if (groups.ok() && call.CallerRuns()) {
    for (const absl::string_view word :
         absl::StrSplit(*groups, ' ', absl::SkipEmpty())) {
      gid_t gid = 0;
      if (absl::SimpleAtoi(word, &gid)) gids.push_back(gid);
    }
  }
  return MakeCaller(call.uid, std::move(gids), names_);
}

bool RealSelfWork::IsRootOfNode(const checkpoint::SelfCall& call) {
  return call.uid == 0 && SharesNamespace(call.asker.pid, "mnt") &&
         SharesNamespace(call.asker.pid, "user") && call.CallerRuns();
}

absl::StatusOr<std::vector<std::string>> RealSelfWork::GroupsOf(
    const checkpoint::SelfCall& call) {
  std::set<std::string> paths;
  if (!call.cgroup.empty()) {
    CKPT_ASSIGN_OR_RETURN(
        const auto group,
        freezer::FindCgroup(call.cgroup, v1::HIERARCHY_UNSPECIFIED));
    CKPT_ASSIGN_OR_RETURN(std::string path, freezer::PathInHierarchy(*group));
    paths.insert(std::move(path));
  }
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> tree,
                        ProcessTree(ProcFs::Real(), call.asker.pid));
  for (const pid_t pid : tree) {
    for (const v1::Hierarchy hierarchy : {v1::HIERARCHY_V2, v1::HIERARCHY_V1}) {
      const auto group = freezer::CgroupOf(pid, hierarchy);
      // Not mounted, or the process has ended.
      if (!group.ok() || (*group)->is_root()) continue;
      CKPT_ASSIGN_OR_RETURN(std::string path,
                            freezer::PathInHierarchy(**group));
      paths.insert(std::move(path));
    }
  }
  if (paths.empty()) paths.insert("/");
  return std::vector<std::string>(paths.begin(), paths.end());
}

absl::Status RealSelfWork::MakeDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) {
    return absl::OkStatus();
  }
  return ErrnoToStatus(errno, "make directory", path);
}

}  // namespace ckpt::agent
