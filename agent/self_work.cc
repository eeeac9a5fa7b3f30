#include "agent/self_work.h"

#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "agent/local_listener.h"
#include "base/proc.h"
#include "base/status.h"
#include "checkpoint/self_rights.h"
#include "freezer/lookup.h"

namespace ckpt::agent {

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
  return checkpoint::IsRootOfNode(call);
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

absl::Status RealSelfWork::MakeUserStore(const std::string& store, uid_t uid) {
  return checkpoint::MakeUserStore(store, uid);
}

}  // namespace ckpt::agent
