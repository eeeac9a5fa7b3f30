#include "run/job_directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cerrno>
#include <climits>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace ckpt::run {
namespace {

constexpr uint32_t kLedgerVersion = 1;
constexpr char kLedger[] = "ledger.pb";
constexpr char kJobs[] = "/.jobs";

absl::Status MakeDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) {
    return absl::OkStatus();
  }
  return ErrnoToStatus(errno, "create", path);
}

}  // namespace

absl::StatusOr<JobDirectory> JobDirectory::Make(const std::string& store,
                                                const std::string& name) {
  const std::string jobs = absl::StrCat(store, kJobs);
  const std::string path = absl::StrCat(jobs, "/", name);
  CKPT_RETURN_IF_ERROR(MakeDirectory(store));
  CKPT_RETURN_IF_ERROR(MakeDirectory(jobs));
  CKPT_RETURN_IF_ERROR(MakeDirectory(path));
  // As images name the files in it: absolute, and without links.
  char real[PATH_MAX];
  if (::realpath(path.c_str(), real) == nullptr) {
    return ErrnoToStatus(errno, "resolve", path);
  }
  return JobDirectory(real);
}

absl::StatusOr<JobDirectory> JobDirectory::Open(const std::string& store,
                                                const std::string& name) {
  const std::string path = absl::StrCat(store, kJobs, "/", name);
  CKPT_RETURN_IF_ERROR(OpenDirectory(path).status());
  return JobDirectory(path);
}

absl::StatusOr<v1::JobLedger> JobDirectory::ReadLedger() const {
  v1::JobLedger ledger;
  const std::string path = File(kLedger);
  const auto data = ReadFile(path);
  if (absl::IsNotFound(data.status())) return ledger;
  CKPT_RETURN_IF_ERROR(data.status());
  if (!ledger.ParseFromString(*data)) {
    return absl::DataLossError(absl::StrCat(
        path,
        " is damaged; remove it to have the job go on from its newest "
        "image"));
  }
  if (ledger.format_version() > kLedgerVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is of a newer ckpt; use that one"));
  }
  return ledger;
}

absl::Status JobDirectory::WriteLedger(const v1::JobLedger& ledger) const {
  v1::JobLedger written = ledger;
  written.set_format_version(kLedgerVersion);
  return ReplaceFile(File(kLedger), written.SerializeAsString(),
                     /*durable=*/true);
}

absl::Status JobDirectory::WriteRestarts(int32_t restarts) const {
  return ReplaceFile(restarts_file(), absl::StrFormat("%-10d\n", restarts),
                     /*durable=*/false);
}

absl::Status ReplaceFile(const std::string& path, const std::string& data,
                         bool durable) {
  const std::string fresh = absl::StrCat(path, ".new");
  CKPT_ASSIGN_OR_RETURN(
      const UniqueFd fd,
      OpenAt(AT_FDCWD, fresh, O_WRONLY | O_CREAT | O_TRUNC, 0644));
  CKPT_RETURN_IF_ERROR(WriteAll(fd.get(), data, fresh));
  if (durable) CKPT_RETURN_IF_ERROR(Fsync(fd.get(), fresh));
  if (::rename(fresh.c_str(), path.c_str()) != 0) {
    return ErrnoToStatus(errno, "rename", fresh);
  }
  if (!durable) return absl::OkStatus();
  const std::string parent = path.substr(0, path.rfind('/'));
  CKPT_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(parent));
  return Fsync(dir.get(), parent);
}

}  // namespace ckpt::run
