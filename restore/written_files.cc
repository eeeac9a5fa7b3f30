#include "restore/written_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

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

absl::Status CutBack(const std::vector<v1::CutFile>& cuts) {
  for (const v1::CutFile& cut : cuts) {
    if (::truncate(cut.path().c_str(), static_cast<off_t>(cut.to_bytes())) !=
        0) {
      return ErrnoToStatus(errno, "cut back", cut.path());
    }
  }
  return absl::OkStatus();
}

}  // namespace ckpt::restore
