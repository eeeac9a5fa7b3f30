#include "tests/support/cgroup_cleaner.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/unique_fd.h"

namespace ckpt {
namespace {

// A killed task needs about this long to leave its group.
constexpr absl::Duration kPollInterval = absl::Milliseconds(1);

void WriteIfThere(const std::string& path, absl::string_view text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (fd.ok()) (void)!::write(fd.get(), text.data(), text.size());
}

}  // namespace

std::vector<std::string> CgroupsBelow(const std::string& path) {
  std::vector<std::string> groups = {path};
  for (size_t i = 0; i < groups.size(); ++i) {
    DIR* const directory = ::opendir(groups[i].c_str());
    if (directory == nullptr) continue;
    // Safe on a stream of one's own.  NOLINTNEXTLINE(concurrency-mt-unsafe)
    while (const dirent* const entry = ::readdir(directory)) {
      if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
      groups.push_back(absl::StrCat(groups[i], "/", entry->d_name));
    }
    ::closedir(directory);
  }
  return groups;
}

std::vector<pid_t> ProcessesOfCgroup(const std::string& path) {
  std::vector<pid_t> pids;
  const auto text = ReadFile(path + "/cgroup.procs");
  if (!text.ok()) return pids;
  for (const absl::string_view line :
       absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    pid_t pid;
    // 0 stands for a process of another PID namespace.
    if (absl::SimpleAtoi(line, &pid) && pid > 0) pids.push_back(pid);
  }
  return pids;
}

void ThawCgroup(const std::string& path) {
  WriteIfThere(path + "/freezer.state", "THAWED");
  WriteIfThere(path + "/cgroup.freeze", "0");
}

void ThawWithTestAncestors(const std::string& path) {
  std::string group = path;
  while (absl::StrContains(group, absl::StrCat("/", kTestCgroupPrefix))) {
    ThawCgroup(group);
    group.resize(group.rfind('/'));
  }
}

bool RemoveCgroup(const std::string& path, absl::Time deadline, Clock& clock) {
  for (;;) {
    const std::vector<std::string> groups = CgroupsBelow(path);
    // All are thawed first: this is what a task of v1 needs in order to die.
    for (const std::string& group : groups) ThawCgroup(group);
    for (const std::string& group : groups) {
      for (const pid_t pid : ProcessesOfCgroup(group)) ::kill(pid, SIGKILL);
      WriteIfThere(group + "/cgroup.kill", "1");  // other PID namespaces too
    }
    bool removed = true;
    for (auto group = groups.rbegin(); group != groups.rend(); ++group) {
      removed = ::rmdir(group->c_str()) == 0 || errno == ENOENT;
    }
    if (removed) return true;
    if (clock.Now() >= deadline) return false;
    clock.Sleep(kPollInterval);
  }
}

}  // namespace ckpt
