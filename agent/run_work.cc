#include "agent/run_work.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "run/job_control.h"
#include "run/job_output.h"
#include "run/job_registry.h"

namespace ckpt::agent {
namespace {

// Well below what a client takes in one message.
constexpr off_t kMaxLogBytes = 256 << 10;

run::JobRegistry& Registry() { return run::JobRegistry::Default(); }

// What the file has from `offset` on, as much as one answer holds.  One that
// has become shorter goes on from its new end.
absl::Status ReadPart(const std::string& path, off_t offset,
                      v1::JobLogChunk& chunk) {
  // The job may own the directory, and have put a link to anything there.
  CKPT_ASSIGN_OR_RETURN(
      const UniqueFd file,
      OpenAt(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY));
  struct stat about = {};
  if (::fstat(file.get(), &about) != 0) {
    return ErrnoToStatus(errno, "stat", path);
  }
  if (!S_ISREG(about.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the output ", path, " is no file that can be read again"));
  }
  const off_t begin = std::min(offset, about.st_size);
  std::string data(std::min(about.st_size - begin, kMaxLogBytes), '\0');
  const ssize_t got = ::pread(file.get(), data.data(), data.size(), begin);
  if (got < 0) return ErrnoToStatus(errno, "read", path);
  data.resize(got);
  chunk.set_next_offset(begin + got);
  chunk.set_data(std::move(data));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<v1::JobStatus>> RealRunWork::List() {
  CKPT_ASSIGN_OR_RETURN(const auto jobs, Registry().List());
  std::vector<v1::JobStatus> described;
  described.reserve(jobs.size());
  for (const run::RegisteredJob& job : jobs) {
    described.push_back(run::DescribeJob(job, ProcFs::Real()));
  }
  return described;
}

absl::StatusOr<v1::JobStatus> RealRunWork::Get(const std::string& name) {
  CKPT_ASSIGN_OR_RETURN(const run::RegisteredJob job, Registry().Find(name));
  return run::DescribeJob(job, ProcFs::Real());
}

absl::Status RealRunWork::Suspend(const std::string& name) {
  CKPT_ASSIGN_OR_RETURN(const run::RegisteredJob job, Registry().Find(name));
  return run::SuspendJob(job);
}

absl::Status RealRunWork::Resume(const std::string& name) {
  CKPT_ASSIGN_OR_RETURN(const run::RegisteredJob job, Registry().Find(name));
  return run::ResumeJob(job);
}

absl::StatusOr<v1::StopReport> RealRunWork::Stop(
    const v1::StopJobRequest& request, const Cancellation& cancel) {
  CKPT_ASSIGN_OR_RETURN(const run::RegisteredJob job,
                        Registry().Find(request.name()));
  return run::StopJob(job, absl::Seconds(request.timeout_seconds()),
                      Clock::Real(), &cancel);
}

absl::StatusOr<v1::KillReport> RealRunWork::Kill(
    const v1::KillJobRequest& request, const Cancellation& cancel) {
  CKPT_ASSIGN_OR_RETURN(const run::RegisteredJob job,
                        Registry().Find(request.name()));
  return run::KillJob(
      Registry(), job, request.signal() == 0 ? SIGKILL : request.signal(),
      absl::Seconds(request.timeout_seconds()), Clock::Real(), &cancel);
}

absl::StatusOr<v1::JobLogChunk> RealRunWork::ReadLog(
    const v1::JobLogRequest& request) {
  CKPT_ASSIGN_OR_RETURN(
      const std::string path,
      run::JobOutputFile(Registry(), request.name(), request.error(), store_));
  v1::JobLogChunk chunk;
  // Looked at first: what it printed at its end is read, too.
  const auto job = Registry().Find(request.name());
  chunk.set_ended(!job.ok() || !job->supervised);
  CKPT_RETURN_IF_ERROR(ReadPart(path, request.offset(), chunk));
  return chunk;
}

}  // namespace ckpt::agent
