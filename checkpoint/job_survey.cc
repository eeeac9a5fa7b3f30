#include "checkpoint/job_survey.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ckpt::checkpoint {
namespace {

constexpr absl::string_view kDeleted = " (deleted)";
constexpr const char* kNamespaces[] = {"cgroup", "ipc",  "mnt", "net",
                                       "pid",    "user", "uts"};

std::map<std::string, std::string> Namespaces(pid_t pid, JobFiles& files) {
  std::map<std::string, std::string> links;
  for (const char* name : kNamespaces) {
    auto link = files.Link(pid, absl::StrCat("ns/", name));
    if (link.ok()) links[name] = *std::move(link);
  }
  return links;
}

// Whether fdinfo tells of it what matters.
bool NeedsFdInfo(const SurveyedFd& fd) {
  return fd.target.front() == '/' ||
         absl::StartsWith(fd.target, "anon_inode:[pidfd]") ||
         absl::StartsWith(fd.target, "pidfd:");
}

absl::optional<SurveyedFd> SurveyFd(pid_t pid, const OpenFile& open,
                                    ProcFs& proc, JobFiles& files) {
  SurveyedFd fd;
  fd.fd = open.fd;
  fd.target = open.target;
  if (fd.target.empty()) return absl::nullopt;
  if (absl::StartsWith(fd.target, "socket:[")) {
    auto socket = files.Socket(pid, fd.fd);
    if (socket.ok()) fd.socket = *std::move(socket);
    return fd;
  }
  if (fd.target.front() == '/') {
    const auto facts = files.Stat(pid, fd.fd);
    if (!facts.ok()) return absl::nullopt;
    fd.file = *facts;
  }
  if (NeedsFdInfo(fd)) {
    const auto info = proc.Read(pid, absl::StrCat("fdinfo/", fd.fd));
    if (info.ok()) ParseFdInfo(*info, fd);
  }
  return fd;
}

// Memory that no file ever had, under the names that the kernel gives it
// (mm/shmem.c, mm/hugetlb.c, mm/memfd.c): pages to CRIU, no deleted file.
bool IsSharedMemory(absl::string_view deleted_path) {
  return deleted_path == "/dev/zero" || deleted_path == "/anon_hugepage" ||
         absl::StartsWith(deleted_path, "/memfd:");
}

// "RANGE PERMISSIONS OFFSET DEVICE INODE   PATH"
void SurveyMappings(pid_t pid, ProcFs& proc, JobFiles& files,
                    std::vector<SurveyedMapping>& mappings) {
  const auto text = proc.Read(pid, "maps");
  if (!text.ok()) return;
  std::set<std::pair<absl::string_view, absl::string_view>> seen;
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line, absl::MaxSplits(' ', 5));
    if (fields.size() < 6) continue;
    absl::string_view path = absl::StripLeadingAsciiWhitespace(fields[5]);
    if (path.empty() || path.front() == '[' ||
        !seen.insert({path, fields[4]}).second) {
      continue;
    }
    SurveyedMapping mapping;
    mapping.deleted = absl::ConsumeSuffix(&path, kDeleted);
    if (mapping.deleted && IsSharedMemory(path)) continue;
    mapping.path = std::string(path);
    if (mapping.deleted || absl::StartsWith(path, "/dev/")) {
      const auto facts = files.StatMapping(pid, std::string(fields[0]));
      if (facts.ok()) mapping.file = *facts;
    }
    mappings.push_back(std::move(mapping));
  }
}

uint64_t KibField(absl::string_view status, absl::string_view key) {
  for (const absl::string_view line : absl::StrSplit(status, '\n')) {
    const std::pair<absl::string_view, absl::string_view> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (fields.first != key) continue;
    absl::string_view value = absl::StripAsciiWhitespace(fields.second);
    absl::ConsumeSuffix(&value, " kB");
    uint64_t kib = 0;
    return absl::SimpleAtoi(value, &kib) ? kib * 1024 : 0;
  }
  return 0;
}

// Threads are told apart by what they do not share with their process.
void SurveyThreads(ProcFs& proc, JobFiles& files, SurveyedProcess& process) {
  const pid_t pid = process.stat.pid;
  const auto threads = proc.Threads(pid);
  if (!threads.ok()) return;
  process.threads = *threads;
  const auto net = process.namespaces.find("net");
  for (const pid_t tid : process.threads) {
    if (tid == pid) continue;
    if (!files.SharesFiles(pid, tid)) {
      process.threads_with_own_files.push_back(tid);
    }
    const auto own = files.Link(pid, absl::StrCat("task/", tid, "/ns/net"));
    if (own.ok() && net != process.namespaces.end() && *own != net->second) {
      process.threads_with_own_net.push_back(tid);
    }
  }
}

SurveyedProcess SurveyProcess(const ThreadStat& stat, ProcFs& proc,
                              JobFiles& files) {
  SurveyedProcess process;
  process.stat = stat;
  const pid_t pid = stat.pid;
  process.namespaces = Namespaces(pid, files);
  SurveyThreads(proc, files, process);
  if (const auto open = proc.OpenFiles(pid); open.ok()) {
    for (const OpenFile& file : *open) {
      auto fd = SurveyFd(pid, file, proc, files);
      if (fd.has_value()) process.fds.push_back(*std::move(fd));
    }
  }
  SurveyMappings(pid, proc, files, process.mappings);
  if (const auto status = proc.Read(pid, "status"); status.ok()) {
    process.memory_bytes = KibField(*status, "RssAnon") +
                           KibField(*status, "RssShmem") +
                           KibField(*status, "VmSwap");
  }
  process.exe = files.Link(pid, "exe").value_or("");
  process.cwd = files.Link(pid, "cwd").value_or("");
  return process;
}

}  // namespace

std::string SurveyedProcess::Name() const {
  return absl::StrCat("process ", stat.pid, " (", stat.comm, ")");
}

std::set<int> ParseMountIds(absl::string_view text) {
  std::set<int> ids;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    int id = 0;
    if (absl::SimpleAtoi(line.substr(0, line.find(' ')), &id)) ids.insert(id);
  }
  return ids;
}

void ParseFdInfo(absl::string_view text, SurveyedFd& fd) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::pair<absl::string_view, absl::string_view> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    const absl::string_view value = absl::StripAsciiWhitespace(fields.second);
    if (fields.first == "flags") {
      for (const char digit : value) fd.flags = 8 * fd.flags + (digit - '0');
    } else if (fields.first == "mnt_id") {
      (void)absl::SimpleAtoi(value, &fd.mount_id);
    } else if (fields.first == "lock") {
      fd.locked = true;
    } else if (fields.first == "Pid") {
      (void)absl::SimpleAtoi(value, &fd.pidfd_of);
    } else if (fields.first == "tty-index") {
      (void)absl::SimpleAtoi(value, &fd.tty_index);
    }
  }
}

JobSurvey SurveyJob(const std::vector<pid_t>& tree, ProcFs& proc,
                    JobFiles& files) {
  JobSurvey survey;
  survey.own_namespaces = Namespaces(::getpid(), files);
  for (const pid_t pid : tree) {
    const auto stat = proc.Stat(pid);
    if (!stat.ok()) continue;
    survey.pids.insert(pid);
    if (stat->state == 'Z' || stat->state == 'X') {
      survey.zombies.push_back(pid);
      continue;
    }
    survey.processes.push_back(SurveyProcess(*stat, proc, files));
    // Many processes, few namespaces.
    const auto& namespaces = survey.processes.back().namespaces;
    const auto place = namespaces.find("mnt");
    if (place == namespaces.end()) continue;
    std::set<int>& mounts = survey.mounts[place->second];
    if (!mounts.empty()) continue;
    const auto text = proc.Read(pid, "mountinfo");
    if (text.ok()) mounts = ParseMountIds(*text);
  }
  return survey;
}

}  // namespace ckpt::checkpoint
