#include "tests/testcases/workloads.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace ckpt {
namespace {

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
  table.back().min_threads = 6;  // the server has four of its own
  table.back().criu.tcp_established = true;

  return table;
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

const WorkloadSpec& WorkloadNamed(absl::string_view name) {
  for (const WorkloadSpec& spec : AllWorkloads()) {
    if (spec.name == name) return spec;
  }
  std::fprintf(stderr, "there is no workload %s\n", std::string(name).c_str());
  std::abort();
}

std::string RunfilesPath(const std::string& path) {
  const char* const root = std::getenv("TEST_SRCDIR");
  const char* const workspace = std::getenv("TEST_WORKSPACE");
  if (root != nullptr && workspace != nullptr) {
    return absl::StrCat(root, "/", workspace, "/", path);
  }
  char directory[4096];
  if (::getcwd(directory, sizeof directory) == nullptr) return path;
  return absl::StrCat(directory, "/", path);
}

}  // namespace ckpt
