#include "restore/written_files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace ckpt::restore {
namespace {

absl::Status Refused(const std::string& path, uint64_t size,
                     const v1::ManifestWrittenFile& file,
                     absl::string_view advice) {
  return absl::FailedPreconditionError(
      absl::StrCat("file ", path, ", which the job writes to, has ", size,
                   " bytes here, and had ", file.size_bytes(),
                   " in the image; ", advice, "; nothing was started"));
}

// For writing, if it is a regular file and no symbolic link leads to it.
absl::StatusOr<UniqueFd> OpenToCut(const std::string& root,
                                   const std::string& path,
                                   struct stat& about) {
  CKPT_ASSIGN_OR_RETURN(const UniqueFd top,
                        OpenDirectory(root.empty() ? "/" : root));
  const std::string below(
      absl::StripPrefix(absl::string_view(path).substr(root.size()), "/"));
  open_how how = {};
  how.flags = O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS;
  UniqueFd file(static_cast<int>(
      ::syscall(SYS_openat2, top.get(), below.c_str(), &how, sizeof(how))));
  if (!file.ok() && errno == ELOOP) {
    return absl::FailedPreconditionError(absl::StrCat(
        path,
        ", which the job writes to, is behind a symbolic link here, and "
        "so may be somebody else's; cut it back yourself; nothing was "
        "started"));
  }
  if (!file.ok() || ::fstat(file.get(), &about) != 0) {
    return ErrnoToStatus(errno, "open to cut back", path);
  }
  if (S_ISREG(about.st_mode)) return file;
  return absl::FailedPreconditionError(
      absl::StrCat(path, " is no regular file any more"));
}

}  // namespace

absl::StatusOr<std::vector<v1::CutFile>> PlanOutput(const v1::ManifestJob& job,
                                                    const std::string& root,
                                                    v1::OutputPolicy policy) {
  std::vector<v1::CutFile> cuts;
  for (const v1::ManifestWrittenFile& file : job.written_files()) {
    const std::string path = absl::StrCat(root, file.path());
    struct stat info = {};
    if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    const uint64_t size = static_cast<uint64_t>(info.st_size);
    if (size == file.size_bytes()) continue;
    if (size < file.size_bytes()) {
      if (policy == v1::OUTPUT_POLICY_UNSPECIFIED && file.append_only()) {
        continue;
      }
      return Refused(path, size, file, "put back the file as it was");
    }
    switch (policy) {
      case v1::OUTPUT_POLICY_TRUNCATE: {
        CKPT_RETURN_IF_ERROR(OpenToCut(root, path, info).status());
        v1::CutFile cut;
        cut.set_path(path);
        cut.set_from_bytes(size);
        cut.set_to_bytes(file.size_bytes());
        cuts.push_back(std::move(cut));
        break;
      }
      case v1::OUTPUT_POLICY_FAIL:
        return Refused(path, size, file,
                       "put back the file as it was, or cut off what was "
                       "written since (--output-policy truncate)");
      default:
        if (file.append_only()) continue;
        return Refused(path, size, file,
                       "it is not open for appending only; put back the file "
                       "as it was, or cut off what was written since "
                       "(--output-policy truncate)");
    }
  }
  return cuts;
}

absl::Status CutBack(const std::string& root,
                     const std::vector<v1::CutFile>& cuts) {
  for (const v1::CutFile& cut : cuts) {
    struct stat about = {};
    CKPT_ASSIGN_OR_RETURN(const UniqueFd file,
                          OpenToCut(root, cut.path(), about));
    if (static_cast<uint64_t>(about.st_size) != cut.from_bytes()) {
      return absl::FailedPreconditionError(
          absl::StrCat(cut.path(), " had ", cut.from_bytes(),
                       " bytes a moment ago, and has ", about.st_size,
                       ": somebody writes to it, or it is another file; it ",
                       "is as it was; nothing was started"));
    }
    if (::ftruncate(file.get(), static_cast<off_t>(cut.to_bytes())) != 0) {
      return ErrnoToStatus(errno, "cut back", cut.path());
    }
  }
  return absl::OkStatus();
}

}  // namespace ckpt::restore
