#include "checkpoint/pipes.h"

#include <fcntl.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"

namespace ckpt::checkpoint {
namespace {

// What processes have of one pipe.
struct Ends {
  bool reading = false;
  bool writing = false;
  // One that has an end.
  pid_t pid = 0;
  int fd = -1;

  bool complete() const { return reading && writing; }
};

// "flags:\t0100001" of /proc/PID/fdinfo/FD, octal, as for open(2) (proc(5)).
absl::StatusOr<int> AccessMode(ProcFs& proc, pid_t pid, int fd) {
  CKPT_ASSIGN_OR_RETURN(const std::string info,
                        proc.Read(pid, absl::StrCat("fdinfo/", fd)));
  for (absl::string_view line : absl::StrSplit(info, '\n')) {
    if (!absl::ConsumePrefix(&line, "flags:")) continue;
    line = absl::StripAsciiWhitespace(line);
    // The last octal digit holds O_ACCMODE.
    if (!line.empty()) return (line.back() - '0') & O_ACCMODE;
  }
  return absl::InternalError(absl::StrCat("no flags in fdinfo of ", fd));
}

// Adds the pipes that `pid` has open.
void AddPipes(ProcFs& proc, pid_t pid, std::map<std::string, Ends>& pipes) {
  const auto files = proc.OpenFiles(pid);
  if (!files.ok()) return;  // ended meanwhile
  for (const OpenFile& file : *files) {
    if (!absl::StartsWith(file.target, "pipe:[")) continue;
    const auto mode = AccessMode(proc, pid, file.fd);
    if (!mode.ok()) continue;  // closed meanwhile
    Ends& ends = pipes[file.target];
    ends.reading |= *mode != O_WRONLY;
    ends.writing |= *mode != O_RDONLY;
    ends.pid = pid;
    ends.fd = file.fd;
  }
}

v1::CheckFinding LeadsOut(ProcFs& proc, const std::string& pipe,
                          const Ends& inside, const Ends& outside) {
  v1::CheckFinding finding;
  finding.set_subject("outside pipe");
  finding.set_level(v1::CheckFinding::LEVEL_BLOCKER);
  finding.set_found(absl::StrCat(
      "descriptor ", inside.fd, " of process ", DescribeTask(proc, inside.pid),
      " is the ", inside.reading ? "reading" : "writing", " end of ", pipe,
      ", whose other end is outside the job, in process ",
      DescribeTask(proc, outside.pid)));
  finding.set_meaning("where nobody would be after a restore");
  finding.set_option(absl::StrCat("--external ", pipe));
  finding.set_advice(absl::StrCat(
      "let the job use files, or allow it with ", finding.option(),
      " and give it a pipe at the restore with --inherit-fd fd[N]:", pipe));
  finding.set_pid(inside.pid);
  finding.set_fd(inside.fd);
  if (const auto stat = proc.Stat(inside.pid); stat.ok()) {
    finding.set_comm(stat->comm);
  }
  return finding;
}

}  // namespace

absl::StatusOr<absl::optional<v1::CheckFinding>> FindOutsidePipe(
    ProcFs& proc, const std::vector<pid_t>& tree,
    const v1::CriuOptions& options) {
  std::map<std::string, Ends> inside;
  for (const pid_t pid : tree) AddPipes(proc, pid, inside);
  for (const std::string& known : options.external()) inside.erase(known);
  for (auto it = inside.begin(); it != inside.end();) {
    it = it->second.complete() ? inside.erase(it) : std::next(it);
  }
  if (inside.empty()) return absl::nullopt;

  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> processes, proc.Processes());
  for (const pid_t pid : processes) {
    if (std::find(tree.begin(), tree.end(), pid) != tree.end()) continue;
    std::map<std::string, Ends> outside;
    AddPipes(proc, pid, outside);
    for (const auto& [pipe, theirs] : outside) {
      const auto ours = inside.find(pipe);
      if (ours == inside.end()) continue;
      const bool has_other_end =
          ours->second.reading ? theirs.writing : theirs.reading;
      if (has_other_end) return LeadsOut(proc, pipe, ours->second, theirs);
    }
  }
  return absl::nullopt;
}

}  // namespace ckpt::checkpoint
