#include "tests/node/migration_lab.h"

#include <fcntl.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "tests/testcases/workload.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

constexpr char kImages[] = "/run/store/images";
constexpr char kMetrics[] = "127.0.0.1:9464";
constexpr absl::Duration kPause = absl::Milliseconds(20);

absl::Time Soon() { return Clock::Real().Now() + absl::Seconds(90); }

template <typename Condition>
bool Await(const Condition& condition) {
  Clock& clock = Clock::Real();
  const absl::Time deadline = Soon();
  while (!condition()) {
    if (clock.Now() > deadline) return false;
    clock.Sleep(kPause);
  }
  return true;
}

}  // namespace

std::string MigrationLab::Address(int node) const {
  return absl::StrCat(network_->node(node).address(), ":7070");
}

std::string MigrationLab::GroupName(int node) const {
  const std::string& path = group(node).path();
  return path.substr(path.rfind('/'));
}

absl::Status MigrationLab::SetUp(int nodes) {
  CKPT_ASSIGN_OR_RETURN(network_, NodeNetwork::Create(nodes));
  for (const int node : {1, 2}) {
    CKPT_ASSIGN_OR_RETURN(groups_[node - 1], TestCgroup::Create(version_));
    certificates_[node - 1] = ca_.Make(
        absl::StrCat("node", node, ",", network_->node(node).address()));
  }
  return WritePolicy(kPolicy);
}

absl::Status MigrationLab::WritePolicy(const std::string& policy) const {
  CKPT_ASSIGN_OR_RETURN(const UniqueFd file,
                        OpenAt(AT_FDCWD, dir_.File("policy"),
                               O_WRONLY | O_CREAT | O_TRUNC, 0600));
  return WriteAll(file.get(), policy, "policy");
}

std::string MigrationLab::Log(int node) const {
  const auto log = ReadFile(dir_.File(absl::StrCat("ckptd", node)));
  return log.ok() ? *log : "";
}

std::string MigrationLab::Metrics(int node) const {
  const auto scraped = network_->node(node).Run(
      {"python3", "-c",
       "import sys, urllib.request as u\n"
       "opener = u.build_opener(u.ProxyHandler({}))\n"
       "print(opener.open(sys.argv[1]).read().decode())",
       absl::StrCat("http://", kMetrics, "/metrics")});
  if (!scraped.ok()) return scraped.status().ToString();
  return scraped->out + scraped->err;
}

absl::Status MigrationLab::StartAgent(int node, const std::string& faults) {
  const std::string& tls = certificates_[node - 1];
  Job::Options options;
  options.argv = {RunfilesPath("agent/ckptd"),
                  "--listen",
                  Address(node),
                  "--tls-ca",
                  tls + "/ca.pem",
                  "--tls-cert",
                  tls + "/cert.pem",
                  "--tls-key",
                  tls + "/key.pem",
                  "--policy",
                  dir_.File("policy"),
                  "--store",
                  kImages,
                  "--metrics",
                  kMetrics};
  options.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  if (!faults.empty()) options.env.push_back("CKPT_FAULT=" + faults);
  options.output_path = dir_.File(absl::StrCat("ckptd", node));
  CKPT_ASSIGN_OR_RETURN(const Job agent, network_->node(node).Start(options));
  agents_[node - 1] = agent.pid();
  const bool serves =
      Await([&] { return Ckpt(node, {"ops"}).exit_status == 0; });
  return serves ? absl::OkStatus()
                : absl::DeadlineExceededError(
                      absl::StrCat("ckptd does not serve: ", Log(node)));
}

absl::Status MigrationLab::AwaitAgentGone(int node) {
  const std::string path =
      absl::StrCat("/proc/", agents_[node - 1], "/cmdline");
  const bool gone = Await([&] {
    const auto words = ReadFile(network_->node(node).OutsidePath(path));
    return !words.ok() || !absl::StrContains(*words, "ckptd");
  });
  return gone ? absl::OkStatus()
              : absl::DeadlineExceededError("the agent does not end");
}

absl::Status MigrationLab::AwaitAgentStopped(int node) {
  const std::string path = absl::StrCat("/proc/", agents_[node - 1], "/stat");
  const bool stopped = Await([&] {
    const auto stat = ReadFile(network_->node(node).OutsidePath(path));
    return stat.ok() && absl::StrContains(*stat, ") T ");
  });
  return stopped ? absl::OkStatus()
                 : absl::DeadlineExceededError("the agent does not stop");
}

absl::Status MigrationLab::ContinueAgent(int node) {
  return network_->node(node).RunOrError(
      {"kill", "-CONT", absl::StrCat(agents_[node - 1])});
}

absl::Status MigrationLab::KillAgent(int node) {
  CKPT_RETURN_IF_ERROR(network_->node(node).RunOrError(
      {"kill", "-9", absl::StrCat(agents_[node - 1])}));
  return AwaitAgentGone(node);
}

absl::Status MigrationLab::ReloadPolicy(int node, const std::string& policy) {
  const auto reloads = [&] {
    return std::vector<std::string>(
               absl::StrSplit(Log(node), "policy reloaded"))
        .size();
  };
  const size_t before = reloads();
  CKPT_RETURN_IF_ERROR(WritePolicy(policy));
  CKPT_RETURN_IF_ERROR(network_->node(node).RunOrError(
      {"kill", "-HUP", absl::StrCat(agents_[node - 1])}));
  return Await([&] { return reloads() > before; })
             ? absl::OkStatus()
             : absl::DeadlineExceededError(
                   absl::StrCat("the policy is not reloaded: ", Log(node)));
}

absl::Status MigrationLab::StartJob(const std::string& workload,
                                    bool private_files) {
  return StartJob(WorkloadNamed(workload), private_files);
}

absl::Status MigrationLab::StartJob(const WorkloadSpec& spec,
                                    bool private_files) {
  const std::string path = private_files ? "/run/status" : dir_.File("status");
  status_path_ = private_files ? network_->node(1).OutsidePath(path) : path;
  Job::Options options;
  options.argv = spec.CommandLine(path);
  options.cgroups = {groups_[0].get()};
  CKPT_ASSIGN_OR_RETURN(const Job job, network_->node(1).Start(options));
  job_pid_ = job.pid();
  return WaitForBeats(status_path_, 3, Soon());
}

absl::Status MigrationLab::AwaitBeats() {
  return WaitForBeats(status_path_, 5, Soon());
}

CommandResult MigrationLab::Ckpt(int node,
                                 const std::vector<std::string>& words) {
  std::vector<std::string> argv = {RunfilesPath("cli/ckpt")};
  argv.insert(argv.end(), words.begin(), words.end());
  CommandOptions options;
  options.timeout = absl::Seconds(280);
  auto result = network_->node(node).Run(argv, options);
  if (result.ok()) return *std::move(result);
  return {.exit_status = -1, .out = "", .err = result.status().ToString()};
}

std::vector<std::string> MigrationLab::MigrationWords(int from,
                                                      const std::string& id) {
  const int to = 3 - from;
  return {"migrate",     "--cgroup",    group(from).path(), "--to", Address(to),
          "--to-cgroup", GroupName(to), "--operation",      id};
}

CommandResult MigrationLab::Migrate(int from, const std::string& id,
                                    const std::vector<std::string>& flags) {
  std::vector<std::string> words = MigrationWords(from, id);
  words.insert(words.end(), flags.begin(), flags.end());
  return Ckpt(from, words);
}

absl::StatusOr<Job> MigrationLab::StartMigration(
    int from, const std::string& id, const std::vector<std::string>& flags) {
  Job::Options options;
  options.argv = MigrationWords(from, id);
  options.argv.insert(options.argv.end(), flags.begin(), flags.end());
  options.argv.insert(options.argv.begin(), RunfilesPath("cli/ckpt"));
  options.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  options.output_path = dir_.File("migrate");
  return network_->node(from).Start(options);
}

absl::Status MigrationLab::AwaitMigration(int node, const std::string& id,
                                          const std::string& state) {
  const std::string wanted = absl::StrCat("migration ", id, ": ", state, "\n");
  CommandResult shown;
  const bool there = Await([&] {
    shown = Ckpt(node, {"ops", "show", id});
    return absl::StartsWith(shown.out, wanted);
  });
  return there ? absl::OkStatus()
               : absl::DeadlineExceededError(
                     absl::StrCat(shown.out, shown.err, Log(node)));
}

absl::StatusOr<std::vector<std::string>> MigrationLab::Images(int node) const {
  return ListDirectory(network_->node(node).OutsidePath(kImages));
}

bool MigrationLab::IsSettled(int node) const {
  const auto names = Images(node);
  return names.ok() && *names == std::vector<std::string>{".migrations"};
}

int MigrationLab::AwaitOneCopy() {
  int at = 0;
  const bool settled = Await([&] {
    const bool one = !Tasks(1).empty();
    const bool two = !Tasks(2).empty();
    at = one == two ? 0 : one ? 1 : 2;
    if (at == 0 || !IsSettled(1) || !IsSettled(2)) return false;
    const auto state = groups_[at - 1]->State();
    return state.ok() && *state == CgroupState::kThawed;
  });
  return settled ? at : 0;
}

}  // namespace ckpt
