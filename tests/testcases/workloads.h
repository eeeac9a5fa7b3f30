// The table of test workloads, for tests that run over all of them.
//
//   for (const WorkloadSpec& spec : AllWorkloads()) {
//     job = Job::Start({.argv = spec.CommandLine(status_path), ...});
//   }
//
// A target that uses it lists "//tests/testcases:programs" in its data.
#ifndef CKPT_TESTS_TESTCASES_WORKLOADS_H_
#define CKPT_TESTS_TESTCASES_WORKLOADS_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace ckpt {

// What CRIU needs, beyond its defaults, to dump and restore a workload.
struct CriuNeeds {
  // CRIU before 4.2 cannot dump any TCP socket on Linux 6.16 or newer; see
  // WhyCannotRun().
  bool inet_sockets = false;
  bool tcp_established = false;
  bool link_remap = false;
  bool file_locks = false;
  bool shell_job = false;
  uint32_t ghost_limit_bytes = 0;  // 0: CRIU's default of 1 MiB does
};

struct WorkloadSpec {
  std::string name;
  std::string program;            // path in the runfiles
  std::string interpreter;        // absolute path, "" for a compiled program
  std::vector<std::string> args;  // after --status FILE
  CriuNeeds criu;
  int min_processes = 1;      // of the tree, from the first beat on
  int min_threads = 1;        // of all its processes together
  std::string requires_file;  // what the machine must have, "" for nothing

  std::string criu_defect;  // see DefectiveWorkloads()

  // argv that runs the workload with its record in `status_path`.
  std::vector<std::string> CommandLine(const std::string& status_path) const;
};

// Names a spec in GoogleTest's messages.
inline void PrintTo(const WorkloadSpec& spec, std::ostream* out) {
  *out << spec.name;
}

// In a fixed order; names are unique and fit for the names of parameterized
// tests.
absl::Span<const WorkloadSpec> AllWorkloads();

// Those that every CRIU so far dumps and restores without an error, but
// wrongly: they stand still afterwards.  Their criu_defect says why.  Not in
// AllWorkloads().
absl::Span<const WorkloadSpec> DefectiveWorkloads();

// The workload of that name, of either table; it must exist.
const WorkloadSpec& WorkloadNamed(absl::string_view name);

// Why the workload cannot be run here and dumped by a CRIU of that version
// ("4.1.1"), for the message of a skipped test; "" when it can.
std::string WhyCannotRun(const WorkloadSpec& spec,
                         absl::string_view criu_version);

// Absolute path of a file in the runfiles of the running test ("tests/..."),
// or in the working directory when there are none.
std::string RunfilesPath(const std::string& path);

}  // namespace ckpt

#endif  // CKPT_TESTS_TESTCASES_WORKLOADS_H_
