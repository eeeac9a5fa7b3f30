// What this node is: for manifests, and for comparing two nodes.
#ifndef CKPT_BASE_HOST_H_
#define CKPT_BASE_HOST_H_

#include <cstdint>
#include <string>

namespace ckpt {

struct HostInfo {
  std::string node_name;       // uname(2)
  std::string kernel_release;  // e.g. "6.12.1"
  std::string machine;         // e.g. "x86_64"
  std::string cpu_model;       // of the first processor; may be empty
  std::string cpu_flags;       // blank-separated, as in /proc/cpuinfo
};

// Never fails: what cannot be read is empty.
HostInfo ReadHostInfo();

// How much the kernel keeps of a thread's CPU state (XSAVE): a restore needs a
// CPU that has it all.
struct CpuState {
  uint32_t bytes = 0;     // 0: not known
  uint64_t features = 0;  // bits of XCR0
};
CpuState ReadCpuState();

// Another one after each start of the kernel; "" when it cannot be read.
std::string BootId();

// Where ckpt keeps what need not outlive the kernel: /run/ckpt, or
// $CKPT_RUN_DIR as it was at the first call.
const std::string& RunDirectory();

}  // namespace ckpt

#endif  // CKPT_BASE_HOST_H_
