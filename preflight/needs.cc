#include "preflight/needs.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/build_id.h"
#include "base/host.h"
#include "base/version.h"
#include "freezer/lookup.h"

namespace ckpt::preflight {
namespace {

using checkpoint::JobSurvey;
using checkpoint::SurveyedFd;
using checkpoint::SurveyedMapping;
using checkpoint::SurveyedProcess;

// Of an image besides memory: some tens of kilobytes a process (CRIU 4.2.1).
constexpr uint64_t kBytesPerProcess = 256 << 10;

constexpr absl::string_view kDeleted = " (deleted)";

bool IsOwn(const SurveyedProcess& process, const JobSurvey& survey,
           const std::string& name) {
  const auto theirs = process.namespaces.find(name);
  const auto ours = survey.own_namespaces.find(name);
  return theirs != process.namespaces.end() &&
         ours != survey.own_namespaces.end() && theirs->second != ours->second;
}

// A file as the job sees it, from outside.
std::string Inside(pid_t pid, const std::string& path) {
  return absl::StrCat("/proc/", pid, "/root", path);
}

class NeedsOfFiles {
 public:
  explicit NeedsOfFiles(v1::JobNeeds& needs) : needs_(needs) {}

  void AddFd(const SurveyedFd& fd) {
    if (fd.target.front() != '/' || absl::EndsWith(fd.target, kDeleted) ||
        absl::StartsWith(fd.target, "/proc/") ||
        absl::StartsWith(fd.target, "/dev/pts/") || fd.file.mode == 0) {
      return;
    }
    v1::NeededFile& file = Find(fd.target);
    file.set_directory(S_ISDIR(fd.file.mode));
    file.set_device(S_ISCHR(fd.file.mode) || S_ISBLK(fd.file.mode));
    if (!S_ISREG(fd.file.mode)) return;
    file.set_size_bytes(fd.file.size_bytes);
    if ((fd.flags & O_ACCMODE) == O_RDONLY) return;
    file.set_written(true);
    file.set_append_only((fd.flags & O_APPEND) != 0);
  }

  void AddMapping(pid_t pid, const SurveyedMapping& mapping) {
    if (mapping.deleted || mapping.path.front() != '/' ||
        absl::StartsWith(mapping.path, "/SYSV") ||
        absl::StartsWith(mapping.path, "/dev/")) {
      return;
    }
    v1::NeededFile& file = Find(mapping.path);
    if (file.mapped()) return;
    file.set_mapped(true);
    const std::string path = Inside(pid, mapping.path);
    struct stat info;
    if (::stat(path.c_str(), &info) != 0) return;
    file.set_size_bytes(static_cast<uint64_t>(info.st_size));
    file.set_build_id(ReadBuildId(path));
  }

  void AddExecutable(pid_t pid, const std::string& path) {
    if (path.empty() || absl::EndsWith(path, kDeleted)) return;
    AddMapping(pid, {.path = path, .deleted = false, .file = {}});
    Find(path).set_executable(true);
  }

  void AddDirectory(const std::string& path) {
    if (path.empty() || absl::EndsWith(path, kDeleted)) return;
    Find(path).set_directory(true);
  }

 private:
  v1::NeededFile& Find(const std::string& path) {
    const auto [place, added] = index_.try_emplace(path, needs_.files_size());
    v1::NeededFile& file =
        added ? *needs_.add_files() : *needs_.mutable_files(place->second);
    file.set_path(path);
    return file;
  }

  v1::JobNeeds& needs_;
  std::map<std::string, int> index_;
};

void AddAddress(const SurveyedFd& fd, std::set<std::string>& seen,
                v1::JobNeeds& needs) {
  if (!fd.socket.has_value() || !fd.socket->bound ||
      (fd.socket->family != AF_INET && fd.socket->family != AF_INET6)) {
    return;
  }
  v1::NeededAddress address;
  address.set_protocol(fd.socket->protocol == IPPROTO_TCP ? "tcp" : "udp");
  address.set_address(fd.socket->address);
  address.set_port(fd.socket->port);
  address.set_listening(fd.socket->listening);
  address.set_connected(fd.socket->connected);
  // Connections to one port of a server are many.
  if (seen.insert(address.SerializeAsString()).second) {
    *needs.add_addresses() = std::move(address);
  }
}

void AddIds(const JobSurvey& survey, bool shell_job, v1::JobNeeds& needs) {
  std::set<int> ids;
  for (const SurveyedProcess& process : survey.processes) {
    ids.insert(process.stat.pid);
    ids.insert(process.threads.begin(), process.threads.end());
    if (shell_job) continue;  // those of the shell are not made again
    ids.insert(process.stat.pgid);
    ids.insert(process.stat.sid);
  }
  ids.insert(survey.zombies.begin(), survey.zombies.end());
  ids.erase(0);  // of a leader outside the namespace
  for (const int id : ids) needs.add_ids(id);
}

void DescribeNode(const std::string& criu, v1::JobNeeds& needs) {
  const HostInfo host = ReadHostInfo();
  needs.mutable_host()->set_node_name(host.node_name);
  needs.mutable_host()->set_kernel_release(host.kernel_release);
  needs.mutable_host()->set_machine(host.machine);
  needs.mutable_host()->set_cpu_model(host.cpu_model);
  needs.mutable_host()->set_cpu_flags(host.cpu_flags);
  const CpuState cpu = ReadCpuState();
  needs.set_xsave_bytes(cpu.bytes);
  needs.set_xsave_features(cpu.features);
  needs.set_ckpt_version(kVersion);
  needs.set_criu_version(criu);
}

}  // namespace

v1::JobNeeds DescribeNeeds(const checkpoint::Job& job, const JobSurvey& survey,
                           ProcFs& proc, const v1::CriuOptions& options,
                           const std::string& criu) {
  v1::JobNeeds needs;
  DescribeNode(criu, needs);
  *needs.mutable_criu() = options;
  NeedsOfFiles files(needs);
  std::set<std::string> addresses;
  for (const SurveyedProcess& process : survey.processes) {
    const pid_t pid = process.stat.pid;
    files.AddExecutable(pid, process.exe);
    files.AddDirectory(process.cwd);
    for (const SurveyedFd& fd : process.fds) {
      files.AddFd(fd);
      AddAddress(fd, addresses, needs);
    }
    for (const SurveyedMapping& mapping : process.mappings) {
      files.AddMapping(pid, mapping);
    }
    needs.set_memory_bytes(needs.memory_bytes() + process.memory_bytes);
    needs.set_threads(needs.threads() +
                      static_cast<int32_t>(process.threads.size()));
  }
  needs.set_processes(static_cast<int32_t>(survey.processes.size()));
  needs.set_image_bytes(needs.memory_bytes() +
                        kBytesPerProcess * survey.processes.size());
  if (!survey.processes.empty()) {
    const SurveyedProcess& root = survey.processes.front();
    needs.set_own_network_namespace(IsOwn(root, survey, "net"));
    needs.set_own_pid_namespace(IsOwn(root, survey, "pid") &&
                                InnermostPid(proc, root.stat.pid) == 1);
    if (!IsOwn(root, survey, "pid")) AddIds(survey, options.shell_job(), needs);
  }
  if (job.group != nullptr) {
    needs.set_hierarchy(job.group->hierarchy());
    needs.set_cgroup(freezer::PathInHierarchy(*job.group).value_or(""));
  }
  return needs;
}

}  // namespace ckpt::preflight
