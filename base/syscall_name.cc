#include "base/syscall_name.h"

#include <cstdint>
#include <iterator>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace ckpt {
namespace {

struct Name {
  int64_t number;
  const char* name;
};

constexpr Name kNames[] = {
#include "base/syscall_names.inc"  // made from <asm/unistd.h>
};

}  // namespace

std::string SyscallNameIn(absl::string_view proc_syscall) {
  const std::vector<absl::string_view> fields =
      absl::StrSplit(proc_syscall, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  int64_t number;
  // Number, six arguments, stack pointer, program counter.
  if (fields.size() != 9 || !absl::SimpleAtoi(fields[0], &number)) return "";
  uint64_t stack_pointer;
  if (!absl::SimpleHexAtoi(fields[7], &stack_pointer) ||
      stack_pointer >> 32 == 0) {
    return "";
  }
  for (const Name& each : kNames) {
    if (each.number == number) return each.name;
  }
  return "";
}

}  // namespace ckpt
