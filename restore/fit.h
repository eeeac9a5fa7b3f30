// Whether a job that is at another node now can be restored here: its needs
// (proto/check.proto) against what this node is and has.
//
//   for (v1::CheckFinding& finding : CompareWithNode(needs, here)) ...
//
// What is found is true now; the restore looks again (preflight.h), at the
// image.
#ifndef CKPT_RESTORE_FIT_H_
#define CKPT_RESTORE_FIT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/host.h"
#include "base/proc.h"
#include "proto/check.pb.h"

namespace ckpt::restore {

// This node; a test fills it as it likes.
struct NodeFacts {
  HostInfo host;
  CpuState cpu;
  std::string criu_version;      // "" when there is none
  uint64_t available_bytes = 0;  // of memory and swap; 0: not known
  std::string store;             // directory; need not exist
  std::string cgroup;            // directory to restore into; ""
  std::string cgroup_problem;    // why there is none
};

// Reads host, cpu and available_bytes.
NodeFacts ReadNodeFacts();

// One finding or more of each: CPU, kernel, CRIU, numbers of processes, files,
// addresses, cgroup, memory, store; LEVEL_OK where all is well.  Changes
// nothing; binds free ports for an instant.  Thread-safe.
std::vector<v1::CheckFinding> CompareWithNode(const v1::JobNeeds& needs,
                                              const NodeFacts& here,
                                              ProcFs& proc);

}  // namespace ckpt::restore

#endif  // CKPT_RESTORE_FIT_H_
