// The name of a system call, from the kernel headers that ckpt is built with.
//
//   SyscallNameIn("0 0x3 0x7ffe1000 ...") == "read"
//
// Thread-safe.
#ifndef CKPT_BASE_SYSCALL_NAME_H_
#define CKPT_BASE_SYSCALL_NAME_H_

#include <string>

#include "absl/strings/string_view.h"

namespace ckpt {

// The system call that the contents of /proc/TID/syscall tell of (proc(5)):
// "NUMBER ARGUMENTS... STACK-POINTER PROGRAM-COUNTER".  "" when the thread is
// in none ("running", -1), when the number has no name here, and for programs
// of 32 bits, which number them otherwise: their stack is below 4 GiB.
std::string SyscallNameIn(absl::string_view proc_syscall);

}  // namespace ckpt

#endif  // CKPT_BASE_SYSCALL_NAME_H_
