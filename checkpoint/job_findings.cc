#include "checkpoint/job_findings.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace ckpt::checkpoint {
namespace {

constexpr absl::string_view kDeleted = " (deleted)";
// CRIU's own --ghost-limit.
constexpr uint64_t kGhostLimitBytes = 1 << 20;

// Majors and minors of Linux's admin-guide/devices.txt.
constexpr unsigned kMemMajor = 1;
constexpr unsigned kTtyMajor = 4;
constexpr unsigned kTtyAuxMajor = 5;
constexpr unsigned kPtmxMinor = 2;
constexpr unsigned kCurrentTtyMinor = 0;
constexpr unsigned kMiscMajor = 10;
constexpr unsigned kTunMinor = 200;
constexpr unsigned kFirstPtsMajor = 136;
constexpr unsigned kLastPtsMajor = 143;

constexpr absl::string_view kCannotDump = "which CRIU cannot dump";

// Files without a name, by the targets of their /proc/PID/fd links.
struct AnonymousFile {
  absl::string_view target;
  Rule rule;
  absl::string_view name;
};
constexpr AnonymousFile kBadFiles[] = {
    {"anon_inode:[io_uring]",
     {"io_uring", kCannotDump, "let the program use another interface"},
     "an io_uring"},
    {"anon_inode:[userfaultfd]",
     {"userfaultfd", kCannotDump, "let the program close it for the dump"},
     "a userfaultfd"},
    {"anon_inode:bpf-map",
     {"bpf", kCannotDump, "let a process outside the job hold it"},
     "a BPF map"},
    {"anon_inode:bpf-prog",
     {"bpf", kCannotDump, "let a process outside the job hold it"},
     "a BPF program"},
    {"anon_inode:[perf_event]",
     {"perf event", kCannotDump, "measure from outside the job"},
     "a perf event"},
};
// Those that CRIU brings back.
constexpr absl::string_view kGoodFiles[] = {
    "anon_inode:[eventfd]",  "anon_inode:[eventpoll]", "anon_inode:[signalfd]",
    "anon_inode:[timerfd]",  "anon_inode:inotify",     "anon_inode:[inotify]",
    "anon_inode:[fanotify]", "anon_inode:[pidfd]",
};

constexpr Rule kAnonymous = {"anonymous file", kCannotDump,
                             "let the program close it for the dump"};
constexpr Rule kPidfd = {
    "pidfd", "which CRIU cannot dump, as it is of a process outside the job",
    "let the program close it for the dump"};
constexpr Rule kDevice = {"device", kCannotDump,
                          "let the program close it for the dump, or use a "
                          "CRIU with a plugin for it"};
constexpr Rule kTun = {
    "device", "which CRIU dumps in a network namespace of the job alone",
    "start the job in one (unshare --net)"};
constexpr Rule kSocketFile = {
    "socket file", "which CRIU cannot dump when it is open by O_PATH",
    "let the program close it for the dump"};
constexpr Rule kGhost = {
    "deleted file",
    "which has to go into the image, and is above the limit for that",
    "raise it with --ghost-limit", "--ghost-limit"};
constexpr Rule kLinkRemap = {
    "deleted file", "which has another name, under which CRIU may keep it",
    "allow that with --link-remap", "--link-remap"};
constexpr Rule kLock = {"file lock", "which is dumped on request only",
                        "use --file-locks", "--file-locks"};
constexpr Rule kMount = {
    "foreign mount",
    "where CRIU cannot find it: the mount is none of its mount namespace",
    "let the job open its files in its own mount namespace (descriptors that "
    "it was started with, too), and close message queues and detached mounts"};
constexpr Rule kAnonymousMapping = {"anonymous mapping",
                                    "which CRIU cannot dump",
                                    "let the program unmap it for the dump"};
constexpr Rule kSysvShm = {
    "sysv shared memory",
    "which CRIU dumps in an IPC namespace of the job alone",
    "start the job in one (unshare --ipc)"};
constexpr Rule kTerminal = {
    "terminal",
    "whose other end is outside the job; it is dumped on request only, and the "
    "restore has to be started in a terminal, which takes its place",
    "use --shell-job, or start the job without a terminal", "--shell-job"};
constexpr Rule kSession = {"session", "which is dumped on request only",
                           "use --shell-job, or start the job with setsid",
                           "--shell-job"};
constexpr Rule kNested = {
    "nested namespace", "which CRIU refuses for a process other than the root",
    "start the whole job in it"};
constexpr Rule kNestedUnrestorable = {
    "nested namespace",
    "which CRIU dumps for a process other than the root, and cannot restore",
    "start the whole job in it"};
constexpr Rule kUserNamespace = {
    "user namespace",
    "which CRIU dumps, and cannot restore without a PID namespace beside it",
    "give the job a PID and a mount namespace, too"};
constexpr Rule kThreadFiles = {
    "thread's own files", "of which CRIU dumps only those of the main thread",
    "expect that the thread misses its descriptors after a restore", "",
    v1::CheckFinding::LEVEL_WARNING};
constexpr Rule kThreadNet = {
    "thread's own network",
    "which CRIU does not notice: the thread comes back in that of the process",
    "expect that after a restore", "", v1::CheckFinding::LEVEL_WARNING};

bool IsGood(absl::string_view target) {
  return std::find(std::begin(kGoodFiles), std::end(kGoodFiles), target) !=
             std::end(kGoodFiles) ||
         absl::StartsWith(target, "pidfd:");
}

void JudgeAnonymous(const SurveyedProcess& process, const SurveyedFd& fd,
                    FindingList& list) {
  for (const AnonymousFile& bad : kBadFiles) {
    if (fd.target != bad.target) continue;
    list.Add(bad.rule,
             absl::StrCat(process.Name(), " has ", bad.name,
                          " open as descriptor ", fd.fd),
             &process, &fd);
    return;
  }
  if (IsGood(fd.target) || !absl::StartsWith(fd.target, "anon_inode:")) return;
  list.Add(kAnonymous, absl::StrCat(FdName(process, fd), " is an ", fd.target),
           &process, &fd);
}

void JudgeDevice(const JobSurvey& survey, const SurveyedProcess& process,
                 const SurveyedFd& fd, FindingList& list) {
  const unsigned major = ::major(fd.file.device);
  const unsigned minor = ::minor(fd.file.device);
  const std::string found =
      absl::StrCat(FdName(process, fd), " is device ", fd.target);
  if (list.HasExternal("dev[")) return;
  if (S_ISCHR(fd.file.mode)) {
    const bool is_tty = major == kTtyMajor || major == kTtyAuxMajor ||
                        (major >= kFirstPtsMajor && major <= kLastPtsMajor);
    if (major == kMemMajor || is_tty) return;
    if (major == kMiscMajor && minor == kTunMinor) {
      const auto own = survey.own_namespaces.find("net");
      const auto theirs = process.namespaces.find("net");
      if (own != survey.own_namespaces.end() &&
          theirs != process.namespaces.end() && own->second != theirs->second) {
        return;
      }
      list.Add(kTun, found, &process, &fd, fd.target);
      return;
    }
  }
  list.Add(kDevice, found, &process, &fd, fd.target);
}

void JudgeDeleted(const std::string& what, absl::string_view path,
                  const FileFacts& file, const SurveyedProcess& process,
                  const SurveyedFd* fd, FindingList& list) {
  if (!S_ISREG(file.mode)) return;
  if (file.links > 0) {
    if (list.options().link_remap()) return;
    list.Add(kLinkRemap, absl::StrCat(what, " is the deleted file ", path),
             &process, fd, path);
    return;
  }
  const uint64_t asked = list.options().ghost_limit_bytes();
  const uint64_t limit = asked == 0 ? kGhostLimitBytes : asked;
  if (file.used_bytes <= limit) return;
  list.Add(kGhost,
           absl::StrCat(what, " is the deleted file ", path, " of ",
                        file.used_bytes, " bytes"),
           &process, fd, path);
}

bool IsOnForeignMount(const JobSurvey& survey, const SurveyedProcess& process,
                      const SurveyedFd& fd) {
  const auto place = process.namespaces.find("mnt");
  if (place == process.namespaces.end() || fd.mount_id < 0) return false;
  const auto mounts = survey.mounts.find(place->second);
  return mounts != survey.mounts.end() && !mounts->second.empty() &&
         mounts->second.count(fd.mount_id) == 0;
}

void JudgePath(const JobSurvey& survey, const SurveyedProcess& process,
               const SurveyedFd& fd, FindingList& list) {
  absl::string_view path = fd.target;
  const bool deleted = absl::ConsumeSuffix(&path, kDeleted);
  if (absl::StartsWith(path, "/memfd:")) return;
  if (S_ISCHR(fd.file.mode) || S_ISBLK(fd.file.mode)) {
    JudgeDevice(survey, process, fd, list);
  } else if (S_ISSOCK(fd.file.mode)) {
    list.Add(kSocketFile,
             absl::StrCat(FdName(process, fd), " is the socket file ", path),
             &process, &fd, path);
  }
  if (fd.locked && !list.options().file_locks()) {
    list.Add(kLock, absl::StrCat(FdName(process, fd), " has a lock on ", path),
             &process, &fd, path);
  }
  if (IsOnForeignMount(survey, process, fd) && !list.HasExternal("file[") &&
      !list.HasExternal("mnt[")) {
    list.Add(kMount, absl::StrCat(FdName(process, fd), " is ", path), &process,
             &fd, path);
  } else if (deleted) {
    JudgeDeleted(FdName(process, fd), path, fd.file, process, &fd, list);
  }
}

void JudgeFd(const JobSurvey& survey, const SurveyedProcess& process,
             const SurveyedFd& fd, FindingList& list) {
  if (fd.target.front() == '/') {
    JudgePath(survey, process, fd, list);
    return;
  }
  JudgeAnonymous(process, fd, list);
  if (fd.pidfd_of > 0 && survey.pids.count(fd.pidfd_of) == 0) {
    list.Add(kPidfd,
             absl::StrCat(FdName(process, fd), " is a pidfd of process ",
                          fd.pidfd_of),
             &process, &fd);
  }
}

void JudgeMapping(const JobSurvey& survey, const SurveyedProcess& process,
                  const SurveyedMapping& mapping, FindingList& list) {
  const std::string found =
      absl::StrCat(process.Name(), " has ", mapping.path, " mapped");
  if (absl::StartsWith(mapping.path, "anon_inode:") ||
      (mapping.deleted && mapping.path == "/secretmem")) {
    list.Add(kAnonymousMapping, found, &process);
    return;
  }
  if (absl::StartsWith(mapping.path, "/SYSV")) {
    const auto own = survey.own_namespaces.find("ipc");
    const auto theirs = process.namespaces.find("ipc");
    if (own != survey.own_namespaces.end() &&
        theirs != process.namespaces.end() && own->second == theirs->second) {
      list.Add(kSysvShm, found, &process);
    }
    return;
  }
  if (S_ISCHR(mapping.file.mode) && ::major(mapping.file.device) != kMemMajor) {
    list.Add(kDevice, found, &process, nullptr, mapping.path);
    return;
  }
  if (!mapping.deleted) return;
  JudgeDeleted(absl::StrCat("what ", process.Name(), " has mapped"),
               mapping.path, mapping.file, process, nullptr, list);
}

// Terminals of which the job has a slave, and not the master.
void JudgeTerminals(const JobSurvey& survey, FindingList& list) {
  if (list.options().shell_job() || list.HasExternal("tty[")) return;
  std::set<int> own;
  for (const SurveyedProcess& process : survey.processes) {
    for (const SurveyedFd& fd : process.fds) {
      if (fd.tty_index >= 0 &&
          fd.file.device == makedev(kTtyAuxMajor, kPtmxMinor)) {
        own.insert(fd.tty_index);
      }
    }
  }
  for (const SurveyedProcess& process : survey.processes) {
    for (const SurveyedFd& fd : process.fds) {
      if (!S_ISCHR(fd.file.mode)) continue;
      const unsigned major = ::major(fd.file.device);
      const bool is_slave = major >= kFirstPtsMajor && major <= kLastPtsMajor;
      const bool is_current =
          fd.file.device == makedev(kTtyAuxMajor, kCurrentTtyMinor);
      const int index = static_cast<int>((major - kFirstPtsMajor) * 256 +
                                         ::minor(fd.file.device));
      if ((is_slave && own.count(index) == 0) || (is_current && own.empty())) {
        list.Add(kTerminal,
                 absl::StrCat(FdName(process, fd), " is terminal ", fd.target),
                 &process, &fd, fd.target);
      }
    }
  }
}

void JudgeSession(const JobSurvey& survey, FindingList& list) {
  if (list.options().shell_job() || survey.processes.empty()) return;
  const SurveyedProcess& root = survey.processes.front();
  if (root.stat.sid == root.stat.pid || root.stat.sid == 0) return;
  list.Add(kSession,
           absl::StrCat(root.Name(), ", the root, is of session ",
                        root.stat.sid, ", and is not its leader"),
           &root);
}

bool Differ(const SurveyedProcess& a,
            const std::map<std::string, std::string>& b,
            const std::string& name) {
  const auto ours = a.namespaces.find(name);
  const auto theirs = b.find(name);
  return ours != a.namespaces.end() && theirs != b.end() &&
         ours->second != theirs->second;
}

void JudgeNamespaces(const JobSurvey& survey, FindingList& list) {
  if (survey.processes.empty()) return;
  const SurveyedProcess& root = survey.processes.front();
  for (const SurveyedProcess& process : survey.processes) {
    for (const char* name : {"cgroup", "ipc", "pid", "user", "uts"}) {
      if (!Differ(process, root.namespaces, name)) continue;
      list.Add(kNested,
               absl::StrCat(process.Name(), " has a ", name,
                            " namespace of its own"),
               &process);
    }
    for (const char* name : {"mnt", "net"}) {
      // Where the root has one, CRIU keeps several.
      if (!Differ(process, root.namespaces, name) ||
          Differ(root, survey.own_namespaces, name)) {
        continue;
      }
      list.Add(kNestedUnrestorable,
               absl::StrCat(process.Name(), " has a ", name,
                            " namespace of its own"),
               &process);
    }
  }
  if (Differ(root, survey.own_namespaces, "user") &&
      !Differ(root, survey.own_namespaces, "pid")) {
    list.Add(kUserNamespace,
             absl::StrCat(root.Name(), " has a user namespace of its own"),
             &root);
  }
}

void JudgeThreads(const SurveyedProcess& process, FindingList& list) {
  for (const pid_t tid : process.threads_with_own_files) {
    list.Add(kThreadFiles,
             absl::StrCat("thread ", tid, " of ", process.Name(),
                          " has descriptors of its own"),
             &process);
  }
  for (const pid_t tid : process.threads_with_own_net) {
    list.Add(kThreadNet,
             absl::StrCat("thread ", tid, " of ", process.Name(),
                          " has a network namespace of its own"),
             &process);
  }
}

}  // namespace

std::string FdName(const SurveyedProcess& process, const SurveyedFd& fd) {
  return absl::StrCat("descriptor ", fd.fd, " of ", process.Name());
}

void FindingList::Add(const Rule& rule, absl::string_view found,
                      const SurveyedProcess* process, const SurveyedFd* fd,
                      absl::string_view path) {
  for (v1::CheckFinding& known : findings_) {
    if (known.subject() == rule.subject && known.meaning() == rule.meaning) {
      known.set_more(known.more() + 1);
      return;
    }
  }
  v1::CheckFinding& finding = findings_.emplace_back();
  finding.set_subject(std::string(rule.subject));
  finding.set_level(rule.level);
  if (!rule.option.empty() && !options_.config_file().empty()) {
    finding.set_level(v1::CheckFinding::LEVEL_WARNING);
  }
  finding.set_found(std::string(found));
  finding.set_meaning(std::string(rule.meaning));
  finding.set_advice(std::string(rule.advice));
  finding.set_option(std::string(rule.option));
  finding.set_will_pass(rule.will_pass);
  finding.set_path(std::string(path));
  if (process != nullptr) {
    finding.set_pid(process->stat.pid);
    finding.set_comm(process->stat.comm);
  }
  if (fd != nullptr) finding.set_fd(fd->fd);
}

bool FindingList::HasExternal(absl::string_view prefix) const {
  return std::any_of(options_.external().begin(), options_.external().end(),
                     [&](const std::string& external) {
                       return absl::StartsWith(external, prefix);
                     });
}

void JudgeJob(const JobSurvey& survey, FindingList& list) {
  JudgeSession(survey, list);
  JudgeNamespaces(survey, list);
  JudgeTerminals(survey, list);
  for (const SurveyedProcess& process : survey.processes) {
    for (const SurveyedFd& fd : process.fds) {
      JudgeFd(survey, process, fd, list);
    }
    for (const SurveyedMapping& mapping : process.mappings) {
      JudgeMapping(survey, process, mapping, list);
    }
    JudgeThreads(process, list);
  }
}

}  // namespace ckpt::checkpoint
