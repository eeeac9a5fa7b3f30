#include "checkpoint/written_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/utf8.h"

namespace ckpt::checkpoint {
namespace {

// The flags of open(2), which proc(5) has in octal; -1 when unknown.
int OpenFlags(ProcFs& proc, pid_t pid, int fd) {
  const auto text = proc.Read(pid, absl::StrCat("fdinfo/", fd));
  if (!text.ok()) return -1;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (absl::ConsumePrefix(&line, "flags:")) {
      return static_cast<int>(
          std::strtol(std::string(line).c_str(), nullptr, 8));
    }
  }
  return -1;
}

bool IsWrittenTo(int flags) {
  return flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_RDONLY;
}

// As CRIU, which then does not insist on the size.
bool IsAppendOnly(int flags) {
  return (flags & O_APPEND) != 0 && (flags & O_ACCMODE) == O_WRONLY;
}

}  // namespace

void DescribeWrittenFiles(ProcFs& proc, const std::vector<pid_t>& tree,
                          v1::ManifestJob& job) {
  std::map<std::string, v1::ManifestWrittenFile> by_path;
  for (const pid_t pid : tree) {
    const auto files = proc.OpenFiles(pid);
    if (!files.ok()) continue;  // a zombie
    for (const OpenFile& file : *files) {
      // A manifest with such a name could not be read again.
      if (!IsUtf8(file.target)) continue;
      if (!absl::StartsWith(file.target, "/") ||
          absl::StartsWith(file.target, "/dev/")) {
        continue;
      }
      const int flags = OpenFlags(proc, pid, file.fd);
      if (!IsWrittenTo(flags)) continue;
      struct stat info = {};
      const std::string link = absl::StrCat("/proc/", pid, "/fd/", file.fd);
      if (::stat(link.c_str(), &info) != 0 || !S_ISREG(info.st_mode) ||
          info.st_nlink == 0) {
        continue;
      }
      const auto [entry, is_new] = by_path.try_emplace(file.target);
      v1::ManifestWrittenFile& written = entry->second;
      written.set_append_only(IsAppendOnly(flags) &&
                              (is_new || written.append_only()));
      written.set_path(file.target);
      written.set_size_bytes(static_cast<uint64_t>(info.st_size));
    }
  }
  for (auto& [path, written] : by_path) {
    *job.add_written_files() = std::move(written);
  }
}

}  // namespace ckpt::checkpoint
