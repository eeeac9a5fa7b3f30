#include "restore/preflight.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/host.h"
#include "base/status.h"

namespace ckpt::restore {
namespace {

constexpr char kUntouched[] = "; nothing was started";

std::set<std::string> Words(const std::string& text) {
  return absl::StrSplit(text, ' ', absl::SkipEmpty());
}

// `cuts`: see CheckFiles().
absl::Status CheckFile(const ImageFile& file, const std::string& root,
                       const std::vector<v1::CutFile>& cuts) {
  // What had no name any more is in the image; what came from outside is given
  // again; terminals of the job's own are made anew.
  if (file.deleted || file.external ||
      absl::StartsWith(file.path, "/dev/pts/")) {
    return absl::OkStatus();
  }
  const std::string path = absl::StrCat(root, file.path);
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the job has ", path,
        file.directory ? " as a directory it works in"
        : file.mapped  ? " mapped"
                       : " open",
        ", which cannot be opened here (",
        ErrnoToStatus(errno, "stat").message(), "); put it there", kUntouched));
  }
  const bool will_be_cut =
      std::any_of(cuts.begin(), cuts.end(),
                  [&](const v1::CutFile& cut) { return cut.path() == path; });
  if (file.size_bytes.has_value() && S_ISREG(info.st_mode) && !will_be_cut &&
      static_cast<uint64_t>(info.st_size) != *file.size_bytes) {
    return absl::FailedPreconditionError(absl::StrCat(
        "file ", path, ", which the job has ", file.mapped ? "mapped" : "open",
        ", has ", info.st_size, " bytes here, and had ", *file.size_bytes,
        " in the image; put back the file as it was", kUntouched));
  }
  return absl::OkStatus();
}

std::string CgroupsOf(ProcFs& proc, pid_t pid) {
  const auto text = proc.Read(pid, "cgroup");
  if (!text.ok()) return "";
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() == 3 && fields[2] != "/" &&
        (fields[0] == "0" || fields[1] == "freezer")) {
      return absl::StrCat(", in cgroup ", fields[2]);
    }
  }
  return "";
}

struct Conflict {
  std::string message;     // "" for none
  bool will_pass = false;  // a zombie: it goes when it is reaped
};

Conflict DescribeConflict(ProcFs& proc, const ThreadStat& stat, pid_t number) {
  Conflict conflict;
  conflict.will_pass = stat.state == 'Z' || stat.state == 'X';
  const std::string who = absl::StrCat(stat.tid, " (", stat.comm, ")");
  conflict.message = absl::StrCat(
      "process id ", number, " of the image is taken here ",
      stat.tid == number
          ? absl::StrCat("by process ", who)
          : absl::StrCat("as the ", stat.pgid == number ? "group" : "session",
                         " of process ", who),
      conflict.will_pass ? ", which has ended but was not reaped by its parent"
                         : "",
      CgroupsOf(proc, stat.tid),
      "; end it, or restore in a PID namespace of its own (unshare --pid "
      "--fork --mount-proc sh -c 'ckpt restore ...; exec sleep infinity')",
      kUntouched);
  return conflict;
}

// The first conflict of a live task, else that of a zombie, else none.
Conflict FindConflict(const std::set<pid_t>& wanted, ProcFs& proc) {
  Conflict found;
  const auto pids = proc.Processes();
  if (!pids.ok()) return found;
  for (const pid_t pid : *pids) {
    const auto stat = proc.Stat(pid);
    if (!stat.ok()) continue;
    pid_t number = 0;
    for (const pid_t candidate : {stat->tid, stat->pgid, stat->sid}) {
      if (wanted.count(candidate) > 0) {
        number = candidate;
        break;
      }
    }
    if (number == 0) continue;
    Conflict conflict = DescribeConflict(proc, *stat, number);
    if (!conflict.will_pass) return conflict;
    found = std::move(conflict);
  }
  return found;
}

// Numbers of threads other than the leader are not listed in /proc, but can be
// looked up there.
Conflict FindThreadConflict(const std::set<pid_t>& wanted, ProcFs& proc) {
  for (const pid_t tid : wanted) {
    const auto stat = proc.Stat(tid);
    if (stat.ok()) return DescribeConflict(proc, *stat, tid);
  }
  return {};
}

}  // namespace

absl::Status CheckHost(const v1::Manifest& manifest) {
  const HostInfo here = ReadHostInfo();
  const v1::ManifestHost& there = manifest.host();
  if (there.machine() != here.machine) {
    return absl::FailedPreconditionError(
        absl::StrCat("the image was made on ", there.machine(),
                     ", and this node is ", here.machine, kUntouched));
  }
  if (manifest.options().cpu_cap() == "none") return absl::OkStatus();
  const std::set<std::string> flags = Words(here.cpu_flags);
  std::vector<std::string> missing;
  for (const std::string& flag : Words(there.cpu_flags())) {
    if (flags.count(flag) == 0) missing.push_back(flag);
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "this node's CPU (", here.cpu_model,
      ") lacks features that the job may "
      "use, as it was dumped on ",
      there.cpu_model(), ": ", absl::StrJoin(missing, " "),
      "; restore on a node that has them, or dump with --cpu-cap none if you "
      "know that the job does not use them",
      kUntouched));
}

absl::Status CheckFiles(const ImageContents& contents, const std::string& root,
                        const std::vector<v1::CutFile>& cuts) {
  for (const ImageFile& file : contents.files) {
    CKPT_RETURN_IF_ERROR(CheckFile(file, root, cuts));
  }
  return absl::OkStatus();
}

absl::Status WaitForPids(const ImageContents& contents, ProcFs& proc,
                         Clock& clock, absl::Time deadline,
                         const Cancellation* cancel) {
  if (contents.HasOwnPidNamespace()) return absl::OkStatus();
  std::set<pid_t> wanted;
  for (const ImageProcess& process : contents.processes) {
    wanted.insert(process.pid);
    wanted.insert(process.threads.begin(), process.threads.end());
  }
  absl::Duration pause = absl::Milliseconds(1);
  while (true) {
    Conflict conflict = FindConflict(wanted, proc);
    if (conflict.message.empty()) conflict = FindThreadConflict(wanted, proc);
    if (conflict.message.empty()) return absl::OkStatus();
    if (!conflict.will_pass || clock.Now() >= deadline) {
      return absl::FailedPreconditionError(conflict.message);
    }
    if (cancel != nullptr && cancel->cancelled()) {
      return absl::CancelledError(absl::StrCat("cancelled", kUntouched));
    }
    clock.Sleep(pause);
    pause = std::min(2 * pause, absl::Milliseconds(20));
  }
}

}  // namespace ckpt::restore
