#include "agent/group_claims.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ckpt::agent {
namespace {

bool Contains(const std::string& path, const std::string& other) {
  return other == path || absl::StartsWith(other, path + "/");
}

}  // namespace

absl::StatusOr<GroupClaims::Claim> GroupClaims::Take(
    const std::vector<std::string>& paths, const std::string& what) {
  const absl::MutexLock lock(&mutex_);
  for (const std::string& path : paths) {
    for (const auto& [claimed, by] : claimed_) {
      if (Contains(path, claimed) || Contains(claimed, path)) {
        return absl::UnavailableError(
            absl::StrCat("cgroup ", path, " is in use: ", by, " works on ",
                         claimed == path ? "it" : claimed,
                         "; nothing was touched; ask again later"));
      }
    }
  }
  for (const std::string& path : paths) claimed_[path] = what;
  return Claim(nullptr, [this, paths](void*) { GiveUp(paths); });
}

void GroupClaims::GiveUp(const std::vector<std::string>& paths) {
  const absl::MutexLock lock(&mutex_);
  for (const std::string& path : paths) claimed_.erase(path);
}

}  // namespace ckpt::agent
