#include "tests/support/test_cgroup.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/status.h"
#include "tests/support/cgroup_cleaner.h"
#include "tests/support/cgroup_guard.h"

namespace ckpt {
namespace {

// Freezing a group takes 0.1 to 1 ms.
constexpr absl::Duration kPollInterval = absl::Milliseconds(1);
// For the destructor; nothing in a thawed group outlives SIGKILL that long.
constexpr absl::Duration kRemovalTime = absl::Minutes(1);

constexpr CgroupVersion kVersions[] = {CgroupVersion::kV1, CgroupVersion::kV2};

absl::Status MakeGroup(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0) return absl::OkStatus();
  return ErrnoToStatus(errno, "mkdir", path);
}

absl::Status WriteTo(const std::string& path, absl::string_view text) {
  CKPT_ASSIGN_OR_RETURN(const UniqueFd directory,
                        OpenDirectory(path.substr(0, path.rfind('/'))));
  return WriteKernelFileAt(directory.get(), path.substr(path.rfind('/') + 1),
                           text);
}

absl::StatusOr<CgroupState> StateOfV1(const std::string& path) {
  CKPT_ASSIGN_OR_RETURN(const std::string text,
                        ReadFile(path + "/freezer.state"));
  const absl::string_view word = absl::StripAsciiWhitespace(text);
  for (const CgroupState state :
       {CgroupState::kThawed, CgroupState::kFreezing, CgroupState::kFrozen}) {
    if (word == CgroupStateName(state)) return state;
  }
  return absl::InternalError(absl::StrCat(path, " is in state ", word));
}

absl::StatusOr<CgroupState> StateOfV2(const std::string& path) {
  CKPT_ASSIGN_OR_RETURN(const std::string events,
                        ReadFile(path + "/cgroup.events"));
  if (absl::StrContains(events, "frozen 1")) return CgroupState::kFrozen;
  // The request may be an ancestor's; the root has no such file.
  for (std::string group = path;; group.resize(group.rfind('/'))) {
    const auto request = ReadFile(group + "/cgroup.freeze");
    if (absl::IsNotFound(request.status())) return CgroupState::kThawed;
    CKPT_RETURN_IF_ERROR(request.status());
    if (absl::StartsWith(*request, "1")) return CgroupState::kFreezing;
  }
}

// Reaps those of `pids` that are dead children of the caller, or will be when
// their parents, which are among `pids`, are gone too.  True when none is left.
bool ReapDead(std::set<pid_t>& pids) {
  for (auto pid = pids.begin(); pid != pids.end();) {
    ::waitpid(*pid, nullptr, WNOHANG);
    const auto stat = ProcFs::Real().Stat(*pid);
    const bool ours = stat.ok() && (stat->ppid == ::getpid() ||
                                    pids.find(stat->ppid) != pids.end());
    pid = ours ? std::next(pid) : pids.erase(pid);
  }
  return pids.empty();
}

}  // namespace

const char* CgroupVersionName(CgroupVersion version) {
  return version == CgroupVersion::kV1 ? "v1" : "v2";
}

const char* CgroupStateName(CgroupState state) {
  switch (state) {
    case CgroupState::kThawed:
      return "THAWED";
    case CgroupState::kFreezing:
      return "FREEZING";
    case CgroupState::kFrozen:
      return "FROZEN";
  }
  return "?";
}

absl::StatusOr<std::string> CgroupMount(CgroupVersion version) {
  CKPT_ASSIGN_OR_RETURN(const std::string mounts, ReadFile("/proc/mounts"));
  for (const absl::string_view line :
       absl::StrSplit(mounts, '\n', absl::SkipEmpty())) {
    // proc(5): device, mount point, type, options, 0 0.
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    if (fields.size() < 4) continue;
    const std::vector<absl::string_view> options =
        absl::StrSplit(fields[3], ',');
    const bool has_freezer =
        std::find(options.begin(), options.end(), "freezer") != options.end();
    if (version == CgroupVersion::kV1 ? fields[2] == "cgroup" && has_freezer
                                      : fields[2] == "cgroup2") {
      return std::string(fields[1]);
    }
  }
  return absl::NotFoundError(absl::StrCat("no cgroup ",
                                          CgroupVersionName(version),
                                          " freezer hierarchy is mounted"));
}

std::string WhyNoCgroup(CgroupVersion version) {
  const auto mount = CgroupMount(version);
  if (!mount.ok()) return std::string(mount.status().message());
  if (::geteuid() != 0) return "this needs root";
  if (::access(mount->c_str(), W_OK) != 0) {
    return absl::StrCat(*mount, " is read-only, as in Bazel's sandbox");
  }
  return "";
}

std::string TestCgroupPrefix(pid_t pid) {
  return absl::StrCat(kTestCgroupPrefix, pid, "-");
}

std::vector<std::string> FindTestCgroups(const std::string& prefix) {
  std::vector<std::string> found;
  for (const CgroupVersion version : kVersions) {
    const auto mount = CgroupMount(version);
    if (!mount.ok()) continue;
    const auto groups = CgroupsNamed(*mount, prefix);
    found.insert(found.end(), groups.begin(), groups.end());
  }
  return found;
}

absl::StatusOr<std::unique_ptr<TestCgroup>> TestCgroup::Create(
    CgroupVersion version) {
  CKPT_ASSIGN_OR_RETURN(const std::string mount, CgroupMount(version));
  std::vector<std::string> roots;
  for (const CgroupVersion each : kVersions) {
    const auto root = CgroupMount(each);
    if (root.ok()) roots.push_back(*root);
  }
  const std::string prefix = TestCgroupPrefix(::getpid());
  CKPT_RETURN_IF_ERROR(EnsureCgroupGuard(roots, prefix));
  static int number = 0;
  for (;;) {
    const std::string path = absl::StrCat(mount, "/", prefix, ++number);
    const absl::Status made = MakeGroup(path);
    // Left by an earlier process of this pid: the guard removes it too.
    if (absl::IsAlreadyExists(made)) continue;
    CKPT_RETURN_IF_ERROR(made);
    return std::unique_ptr<TestCgroup>(new TestCgroup(version, path));
  }
}

absl::StatusOr<std::unique_ptr<TestCgroup>> TestCgroup::CreateChild(
    const std::string& name) {
  const std::string path = absl::StrCat(path_, "/", name);
  CKPT_RETURN_IF_ERROR(MakeGroup(path));
  return std::unique_ptr<TestCgroup>(new TestCgroup(version_, path));
}

TestCgroup::~TestCgroup() {
  Clock& clock = Clock::Real();
  const absl::Time deadline = clock.Now() + kRemovalTime;
  ThawWithTestAncestors(path_);  // else a v1 task would not die
  absl::Status status = KillAll(deadline, clock);
  if (status.ok() && !RemoveCgroup(path_, deadline, clock)) {
    status = absl::DeadlineExceededError("it does not become empty");
  }
  if (!status.ok()) {
    std::fprintf(stderr, "cannot remove %s: %s\n", path_.c_str(),
                 status.ToString().c_str());
  }
}

absl::Status TestCgroup::Add(pid_t pid) const {
  return WriteTo(procs_path(), absl::StrCat(pid));
}

absl::Status TestCgroup::RequestFreeze() const {
  return version_ == CgroupVersion::kV1
             ? WriteTo(path_ + "/freezer.state", "FROZEN")
             : WriteTo(path_ + "/cgroup.freeze", "1");
}

absl::Status TestCgroup::Thaw() const {
  return version_ == CgroupVersion::kV1
             ? WriteTo(path_ + "/freezer.state", "THAWED")
             : WriteTo(path_ + "/cgroup.freeze", "0");
}

absl::StatusOr<CgroupState> TestCgroup::State() const {
  return version_ == CgroupVersion::kV1 ? StateOfV1(path_) : StateOfV2(path_);
}

absl::Status TestCgroup::AwaitState(CgroupState state, absl::Time deadline,
                                    Clock& clock) const {
  for (;;) {
    CKPT_ASSIGN_OR_RETURN(const CgroupState now, State());
    if (now == state) return absl::OkStatus();
    if (clock.Now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat(path_, " is ", CgroupStateName(now), ", not ",
                       CgroupStateName(state)));
    }
    clock.Sleep(kPollInterval);
  }
}

std::vector<pid_t> TestCgroup::Processes() const {
  std::vector<pid_t> pids;
  for (const std::string& group : CgroupsBelow(path_)) {
    const std::vector<pid_t> some = ProcessesOfCgroup(group);
    pids.insert(pids.end(), some.begin(), some.end());
  }
  return pids;
}

absl::Status TestCgroup::KillAll(absl::Time deadline, Clock& clock) const {
  std::set<pid_t> killed;
  for (;;) {
    const std::vector<std::string> groups = CgroupsBelow(path_);
    for (const std::string& group : groups) ThawCgroup(group);
    bool empty = true;
    for (const std::string& group : groups) {
      for (const pid_t pid : ProcessesOfCgroup(group)) {
        ::kill(pid, SIGKILL);
        killed.insert(pid);
        empty = false;
      }
    }
    if (empty && ReapDead(killed)) return absl::OkStatus();
    if (clock.Now() >= deadline) {
      return absl::DeadlineExceededError(absl::StrCat(
          "killed processes stay in ", path_,
          killed.empty() ? ""
                         : absl::StrCat(", for example ", *killed.begin())));
    }
    clock.Sleep(kPollInterval);
  }
}

}  // namespace ckpt
