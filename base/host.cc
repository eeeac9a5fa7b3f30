#include "base/host.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif
#include <sys/utsname.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "base/file.h"

namespace ckpt {

HostInfo ReadHostInfo() {
  HostInfo host;
  utsname names;
  if (::uname(&names) == 0) {
    host.node_name = names.nodename;
    host.kernel_release = names.release;
    host.machine = names.machine;
  }
  const auto text = ReadFile("/proc/cpuinfo");
  if (!text.ok()) return host;
  // The first processor's lines end at the first empty one.
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (line.empty()) break;
    const std::pair<absl::string_view, absl::string_view> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    const absl::string_view key = absl::StripAsciiWhitespace(fields.first);
    const absl::string_view value = absl::StripAsciiWhitespace(fields.second);
    if (key == "model name") host.cpu_model = std::string(value);
    if (key == "flags" || key == "Features") {
      host.cpu_flags = std::string(value);
    }
  }
  return host;
}

CpuState ReadCpuState() {
  CpuState state;
#ifdef __x86_64__
  // CPUID leaf 0xD, subleaf 0: EDX:EAX are the features, EBX is the size for
  // those that are switched on.
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(0xd, 0, &eax, &ebx, &ecx, &edx) != 0) {
    state.bytes = ebx;
    state.features = (static_cast<uint64_t>(edx) << 32) | eax;
  }
#endif
  return state;
}

std::string BootId() {
  const auto text = ReadFile("/proc/sys/kernel/random/boot_id");
  return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "";
}

const std::string& RunDirectory() {
  static const std::string& directory = *new std::string([] {
    // Read once, before anything could change the environment.
    const char* const value =
        std::getenv("CKPT_RUN_DIR");  // NOLINT(concurrency-mt-unsafe)
    return value == nullptr || *value == '\0' ? "/run/ckpt" : value;
  }());
  return directory;
}

}  // namespace ckpt
