#include "checkpoint/manifest.h"

#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/host.h"
#include "base/status.h"
#include "base/utf8.h"
#include "base/version.h"
#include "freezer/lookup.h"

namespace ckpt::checkpoint {
namespace {

void SetOptions(const v1::CriuOptions& from, v1::ManifestOptions& to) {
  to.set_tcp_established(from.tcp_established());
  to.set_tcp_close(from.tcp_close());
  to.set_shell_job(from.shell_job());
  to.set_file_locks(from.file_locks());
  to.set_link_remap(from.link_remap());
  to.set_ext_unix_sk(from.ext_unix_sk());
  to.set_evasive_devices(from.evasive_devices());
  *to.mutable_external() = from.external();
  to.set_network_lock(from.network_lock());
  to.set_cpu_cap(from.cpu_cap());
  to.set_root(from.root());
}

void SetHost(v1::ManifestHost& to) {
  HostInfo host = ReadHostInfo();
  to.set_node_name(std::move(host.node_name));
  to.set_kernel_release(std::move(host.kernel_release));
  to.set_machine(std::move(host.machine));
  to.set_cpu_model(std::move(host.cpu_model));
  to.set_cpu_flags(std::move(host.cpu_flags));
}

}  // namespace

absl::StatusOr<v1::Manifest> DescribeJob(const v1::DumpRequest& request,
                                         const Job& job, ProcFs& proc,
                                         const std::string& criu_version) {
  v1::Manifest manifest;
  manifest.set_ckpt_version(kVersion);
  manifest.set_criu_version(criu_version);
  SetHost(*manifest.mutable_host());
  SetOptions(request.criu(), *manifest.mutable_options());
  v1::ManifestJob& about = *manifest.mutable_job();
  about.set_root_pid(job.root);
  about.set_left_running(request.leave_running() || request.leave_frozen());
  if (job.group != nullptr) {
    CKPT_ASSIGN_OR_RETURN(*about.mutable_cgroup(),
                          freezer::PathInHierarchy(*job.group));
    about.set_hierarchy(job.group->hierarchy());
  }
  if (auto command = proc.Read(job.root, "cmdline"); command.ok()) {
    // Words end with a NUL each.
    about.set_command(ToUtf8(absl::StripTrailingAsciiWhitespace(
        absl::StrReplaceAll(*command, {{std::string(1, '\0'), " "}}))));
  }
  return manifest;
}

absl::Status RecordGroups(const freezer::Census& census, ProcFs& proc,
                          v1::ManifestJob& job) {
  job.clear_groups();
  std::map<pid_t, const freezer::GroupTasks*> groups;  // of each process
  for (const freezer::GroupTasks& group : census.groups) {
    for (const freezer::TaskId& task : group.tasks) {
      const auto [found, is_new] = groups.emplace(task.pid, &group);
      if (is_new || found->second == &group) continue;
      return absl::FailedPreconditionError(absl::StrCat(
          "process ", DescribeTask(proc, task.pid),
          " has threads in several groups below that of the job: '",
          found->second->path, "' and '", group.path,
          "'; move them together (cgroup.procs) and retry"));
    }
  }
  for (const freezer::GroupTasks& group : census.groups) {
    if (group.path.empty()) continue;
    v1::ManifestTaskGroup& entry = *job.add_groups();
    entry.set_cgroup(group.path);
    for (const auto& [pid, of_pid] : groups) {
      if (of_pid == &group) entry.add_pids(InnermostPid(proc, pid));
    }
  }
  return absl::OkStatus();
}

}  // namespace ckpt::checkpoint
