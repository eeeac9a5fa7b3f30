#include "tests/testcases/workloads.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/unique_fd.h"

namespace ckpt {
namespace {

bool TcpSocketsHavePassCred() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(fd.get(), SOL_SOCKET, SO_PASSCRED, &value, &size) == 0;
}

WorkloadSpec Program(const std::string& name) {
  WorkloadSpec spec;
  spec.name = name;
  spec.program = absl::StrCat("tests/testcases/", name);
  return spec;
}

std::vector<WorkloadSpec> MakeTable() {
  std::vector<WorkloadSpec> table;

  table.push_back(Program("counter"));

  table.push_back(Program("forker"));
  table.back().min_processes = 5;

  table.push_back(Program("threads"));
  table.back().min_threads = 17;

  table.push_back(Program("pipes"));
  table.back().min_processes = 2;

  table.push_back(Program("unix_sockets"));
  table.back().min_processes = 3;

  table.push_back(Program("tcp_sockets"));
  table.back().min_processes = 2;
  table.back().criu.inet_sockets = true;
  table.back().criu.tcp_established = true;

  table.push_back(Program("shared_memory"));
  table.back().min_processes = 2;

  table.push_back(Program("deleted_file"));

  table.push_back(Program("pty"));
  table.back().min_processes = 2;

  table.push_back(Program("timers"));

  table.push_back(Program("memory"));

  table.push_back(Program("python3"));
  table.back().program += ".py";
  table.back().interpreter = "/usr/bin/python3";
  table.back().requires_file = "/usr/bin/python3";
  table.back().min_threads = 3;

  table.push_back(Program("redis"));
  table.back().requires_file = "/usr/bin/redis-check-rdb";
  table.back().min_processes = 3;
  table.back().min_threads = 7;  // the server has five
  table.back().criu.inet_sockets = true;
  table.back().criu.tcp_established = true;

  return table;
}

std::vector<WorkloadSpec> MakeDefectiveTable() {
  WorkloadSpec periodic = Program("timers");
  periodic.name = "timers_periodic";
  periodic.args = {"--timerfd", "periodic"};
  // What is left of the period is dumped as zero when an expiration has not
  // been read yet, and zero is restored as "disarmed" (issue 3162 of
  // checkpoint-restore/criu, seen with 4.1.1 and 4.2.1).
  periodic.criu_defect =
      "CRIU restores a periodic timerfd with an unread expiration disarmed";
  return {periodic};
}

}  // namespace

std::vector<std::string> WorkloadSpec::CommandLine(
    const std::string& status_path) const {
  std::vector<std::string> line;
  if (!interpreter.empty()) line.push_back(interpreter);
  line.push_back(RunfilesPath(program));
  line.push_back("--status");
  line.push_back(status_path);
  line.insert(line.end(), args.begin(), args.end());
  return line;
}

absl::Span<const WorkloadSpec> AllWorkloads() {
  static const std::vector<WorkloadSpec>& table =
      *new std::vector<WorkloadSpec>(MakeTable());
  return table;
}

absl::Span<const WorkloadSpec> DefectiveWorkloads() {
  static const std::vector<WorkloadSpec>& table =
      *new std::vector<WorkloadSpec>(MakeDefectiveTable());
  return table;
}

const WorkloadSpec& WorkloadNamed(absl::string_view name) {
  for (const auto table : {AllWorkloads(), DefectiveWorkloads()}) {
    for (const WorkloadSpec& spec : table) {
      if (spec.name == name) return spec;
    }
  }
  std::fprintf(stderr, "there is no workload %s\n", std::string(name).c_str());
  std::abort();
}

std::string WhyCannotRun(const WorkloadSpec& spec,
                         absl::string_view criu_version) {
  if (!spec.requires_file.empty() &&
      ::access(spec.requires_file.c_str(), X_OK) != 0) {
    return absl::StrCat(spec.requires_file, " is not installed");
  }
  const std::vector<absl::string_view> parts =
      absl::StrSplit(criu_version, '.');
  int major = 0;
  int minor = 0;
  if (!absl::SimpleAtoi(parts[0], &major) || parts.size() < 2 ||
      !absl::SimpleAtoi(parts[1], &minor)) {
    return absl::StrCat("\"", criu_version, "\" is no version of CRIU");
  }
  const bool reads_pass_cred = major < 4 || (major == 4 && minor < 2);
  if (spec.criu.inet_sockets && reads_pass_cred && !TcpSocketsHavePassCred()) {
    return absl::StrCat("CRIU ", criu_version,
                        " cannot dump TCP sockets on this kernel (SO_PASSCRED "
                        "is for Unix sockets only since Linux 6.16); 4.2 can");
  }
  return "";
}

std::string RunfilesPath(const std::string& path) {
  // Nobody changes the environment of a test while it runs.
  const char* const root =
      std::getenv("TEST_SRCDIR");  // NOLINT(concurrency-mt-unsafe)
  const char* const workspace =
      std::getenv("TEST_WORKSPACE");  // NOLINT(concurrency-mt-unsafe)
  if (root != nullptr && workspace != nullptr) {
    return absl::StrCat(root, "/", workspace, "/", path);
  }
  char directory[4096];
  if (::getcwd(directory, sizeof directory) == nullptr) return path;
  return absl::StrCat(directory, "/", path);
}

}  // namespace ckpt
