#include "freezer/lookup.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/proc.h"
#include "base/status.h"

namespace ckpt::freezer {
namespace {

// `path` without "." components, double or trailing slashes.
std::string CleanPath(absl::string_view path) {
  std::string clean;
  for (const absl::string_view part :
       absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part != ".") absl::StrAppend(&clean, "/", part);
  }
  return clean.empty() ? "/" : clean;
}

bool HasParentReference(absl::string_view path) {
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part == "..") return true;
  }
  return false;
}

// The candidate directories for `name`, best first.
absl::StatusOr<std::vector<std::string>> CandidatePaths(
    const std::string& name, v1::Hierarchy hierarchy) {
  if (name.empty()) {
    return absl::InvalidArgumentError("the cgroup's name is empty");
  }
  if (HasParentReference(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("cgroup '", name, "': '..' is not allowed"));
  }
  CKPT_ASSIGN_OR_RETURN(const HierarchyMounts mounts, FindHierarchyMounts());
  std::vector<std::string> roots;
  if (hierarchy != v1::HIERARCHY_V1 && !mounts.v2.empty()) {
    roots.push_back(mounts.v2);
  }
  if (hierarchy != v1::HIERARCHY_V2 && !mounts.v1_freezer.empty()) {
    roots.push_back(mounts.v1_freezer);
  }
  if (roots.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no ",
                     hierarchy == v1::HIERARCHY_V1   ? "cgroup v1 freezer"
                     : hierarchy == v1::HIERARCHY_V2 ? "cgroup v2"
                                                     : "freezer",
                     " hierarchy is mounted; 'ckpt check' tells what is"));
  }
  const std::string clean = CleanPath(name);
  std::vector<std::string> paths;
  for (const std::string& root : roots) {
    if (clean == root || absl::StartsWith(clean, root + "/")) return {{clean}};
  }
  if (absl::StartsWith(clean, "/sys/fs/cgroup/")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cgroup ", name, " is in no freezer hierarchy that is asked for (",
        absl::StrCat("looked for: ", roots.front()),
        roots.size() > 1 ? absl::StrCat(", ", roots.back()) : "", ")"));
  }
  paths.reserve(roots.size());
  for (const std::string& root : roots) {
    paths.push_back(clean == "/" ? root : absl::StrCat(root, clean));
  }
  return paths;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Cgroup>> FindCgroup(const std::string& name,
                                                   v1::Hierarchy hierarchy) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> paths,
                        CandidatePaths(name, hierarchy));
  std::string tried;
  for (const std::string& path : paths) {
    auto group = OpenCgroup(path);
    if (!absl::IsNotFound(group.status())) return group;
    absl::StrAppend(&tried, tried.empty() ? "" : ", ", path);
  }
  return absl::NotFoundError(absl::StrCat(
      "cgroup '", name, "' does not exist (looked for ", tried, ")"));
}

absl::StatusOr<std::unique_ptr<Cgroup>> FindOrCreateCgroup(
    const std::string& name, v1::Hierarchy hierarchy,
    std::vector<std::string>& made) {
  made.clear();
  auto group = FindCgroup(name, hierarchy);
  if (!absl::IsNotFound(group.status())) return group;
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> paths,
                        CandidatePaths(name, hierarchy));
  // Parents too, as mkdir -p.
  const std::string& path = paths.front();
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (::mkdir(part.c_str(), 0755) == 0) {
      made.push_back(part);
    } else if (errno != EEXIST) {
      return AppendError(ErrnoToStatus(errno, "make cgroup", part),
                         "removing those above", RemoveMadeCgroups(made));
    }
    if (slash == std::string::npos) break;
  }
  return OpenCgroup(path);
}

absl::Status RemoveMadeCgroups(const std::vector<std::string>& made,
                               absl::Duration limit) {
  absl::Status status;
  for (auto path = made.rbegin(); path != made.rend() && status.ok(); ++path) {
    status = RemoveCgroup(*path, limit);
  }
  return status;
}

absl::StatusOr<std::string> PathForCgroup(const std::string& name,
                                          v1::Hierarchy hierarchy) {
  const auto group = FindCgroup(name, hierarchy);
  if (group.ok()) return (*group)->path();
  if (!absl::IsNotFound(group.status())) return group.status();
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> paths,
                        CandidatePaths(name, hierarchy));
  return paths.front();
}

absl::StatusOr<std::unique_ptr<Cgroup>> CgroupOf(pid_t pid,
                                                 v1::Hierarchy hierarchy) {
  CKPT_ASSIGN_OR_RETURN(const std::string text,
                        ProcFs::Real().Read(pid, "cgroup"));
  CKPT_ASSIGN_OR_RETURN(const HierarchyMounts mounts, FindHierarchyMounts());
  for (const absl::string_view line :
       absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    // "ID:CONTROLLERS:PATH"; v2 is "0::PATH" (cgroups(7)).
    const std::vector<std::string> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    const bool is_v2 = fields[0] == "0";
    bool is_freezer = false;
    for (const absl::string_view name : absl::StrSplit(fields[1], ',')) {
      is_freezer |= name == "freezer";
    }
    const std::string& root = is_v2 ? mounts.v2 : mounts.v1_freezer;
    if (root.empty() ||
        (hierarchy == v1::HIERARCHY_V2 ? !is_v2 : !is_freezer)) {
      continue;
    }
    return OpenCgroup(fields[2] == "/" ? root : absl::StrCat(root, fields[2]));
  }
  return absl::NotFoundError(absl::StrCat(
      "process ", pid, " is in no cgroup ", HierarchyName(hierarchy),
      " freezer hierarchy that is mounted here"));
}

absl::StatusOr<std::string> PathInHierarchy(const Cgroup& group) {
  CKPT_ASSIGN_OR_RETURN(const HierarchyMounts mounts, FindHierarchyMounts());
  absl::string_view path = group.path();
  const std::string& root =
      group.hierarchy() == v1::HIERARCHY_V2 ? mounts.v2 : mounts.v1_freezer;
  if (!absl::ConsumePrefix(&path, root)) {
    return absl::InternalError(absl::StrCat(path, " is not below ", root));
  }
  return path.empty() ? "/" : std::string(path);
}

absl::StatusOr<std::string> PathInHierarchy(const std::string& directory) {
  CKPT_ASSIGN_OR_RETURN(const HierarchyMounts mounts, FindHierarchyMounts());
  std::string best;
  for (const std::string& root : {mounts.v1_freezer, mounts.v2}) {
    const bool is_below =
        directory == root || absl::StartsWith(directory, root + "/");
    // One may be mounted below the other.
    if (!root.empty() && is_below && root.size() > best.size()) best = root;
  }
  if (best.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory, " is in no freezer hierarchy"));
  }
  return directory == best ? "/" : directory.substr(best.size());
}

}  // namespace ckpt::freezer
