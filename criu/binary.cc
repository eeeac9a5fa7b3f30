#include "criu/binary.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace ckpt::criu {
namespace {

bool IsExecutableFile(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

std::string Environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr ? "" : value;
}

absl::StatusOr<std::string> Named(const std::string& path,
                                  absl::string_view by) {
  if (IsExecutableFile(path)) return path;
  return absl::InvalidArgumentError(
      absl::StrCat("CRIU '", path, "', named by ", by,
                   ", is not an executable file; nothing was touched"));
}

}  // namespace

std::string Version::ToString() const {
  return absl::StrCat(major, ".", minor,
                      sublevel > 0 ? absl::StrCat(".", sublevel) : "");
}

absl::StatusOr<std::string> FindCriu(const std::string& asked) {
  if (!asked.empty()) return Named(asked, "--criu");
  const std::string from_environment = Environment("CKPT_CRIU");
  if (!from_environment.empty()) return Named(from_environment, "CKPT_CRIU");
  if (IsExecutableFile(kOwnCriu)) return kOwnCriu;
  std::vector<std::string> directories =
      absl::StrSplit(Environment("PATH"), ':', absl::SkipEmpty());
  directories.insert(directories.end(),
                     {"/usr/local/sbin", "/usr/sbin", "/sbin"});
  for (const std::string& directory : directories) {
    std::string path = absl::StrCat(directory, "/criu");
    if (IsExecutableFile(path)) return path;
  }
  return absl::NotFoundError(absl::StrCat(
      "CRIU was not found (looked at --criu, $CKPT_CRIU, ", kOwnCriu,
      " and PATH); run tools/setup, or name one with "
      "--criu; nothing was touched"));
}

absl::Status CheckVersion(const std::string& binary, const Version& version) {
  if (version >= kOldestVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "CRIU ", version.ToString(), " at ", binary, " is too old: ckpt needs ",
      kOldestVersion.ToString(),
      " or later; run tools/setup, or name another with --criu; nothing was "
      "touched"));
}

}  // namespace ckpt::criu
