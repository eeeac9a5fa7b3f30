#include "run/job_registry.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/make_directories.h"
#include "base/proc.h"
#include "base/status.h"
#include "run/job_directory.h"

namespace ckpt::run {
namespace {

constexpr uint32_t kRecordVersion = 1;
constexpr char kRecord[] = "record.pb";
constexpr char kCalls[] = "self.sock";
// What a guardian needs to kill a job, which may have much memory to give back.
constexpr absl::Duration kGuardianLimit = absl::Seconds(30);

// Open and locked; not ok() when another has it, or when it was removed
// meanwhile.
absl::StatusOr<UniqueFd> TryLock(const std::string& path) {
  CKPT_RETURN_IF_ERROR(MakeDirectories(path, 0755));
  auto dir = OpenDirectory(path);
  if (absl::IsNotFound(dir.status())) return UniqueFd();
  CKPT_RETURN_IF_ERROR(dir.status());
  if (::flock(dir->get(), LOCK_EX | LOCK_NB) != 0) return UniqueFd();
  struct stat held = {}, named = {};
  if (::fstat(dir->get(), &held) != 0 || ::stat(path.c_str(), &named) != 0 ||
      held.st_ino != named.st_ino || held.st_dev != named.st_dev) {
    return UniqueFd();
  }
  return dir;
}

bool IsAlive(pid_t pid) {
  const auto stat = ProcFs::Real().Stat(pid);
  return stat.ok() && stat->state != 'Z' && stat->state != 'X';
}

}  // namespace

JobEntry::~JobEntry() {
  (void)::unlink(calls_path().c_str());
  (void)::unlink(absl::StrCat(path_, "/", kRecord).c_str());
  (void)::rmdir(path_.c_str());
}

void JobEntry::Protect(LastWill& guardian) const {
  guardian.AddUnlink(lock_.get(), kCalls);
  guardian.AddUnlink(lock_.get(), kRecord);
  guardian.KeepOpen(lock_.get());
}

std::string JobEntry::calls_path() const {
  return absl::StrCat(path_, "/", kCalls);
}

absl::Status JobEntry::Write(const v1::JobRecord& record) {
  v1::JobRecord written = record;
  written.set_format_version(kRecordVersion);
  return ReplaceFile(absl::StrCat(path_, "/", kRecord),
                     written.SerializeAsString(),
                     /*durable=*/false);
}

JobRegistry& JobRegistry::Default() {
  static JobRegistry& registry = *new JobRegistry("/run/ckpt/jobs");
  return registry;
}

absl::StatusOr<std::unique_ptr<JobEntry>> JobRegistry::Enter(
    const std::string& name, Clock& clock) const {
  const std::string path = absl::StrCat(directory_, "/", name);
  const absl::Time limit = clock.Now() + kGuardianLimit;
  while (true) {
    CKPT_ASSIGN_OR_RETURN(UniqueFd lock, TryLock(path));
    if (lock.ok()) return std::make_unique<JobEntry>(path, std::move(lock));
    const auto job = Find(name);
    if ((job.ok() && job->supervised) || clock.Now() > limit) {
      return absl::AlreadyExistsError(absl::StrCat(
          "a job named ", name, " runs",
          job.ok() ? absl::StrCat(", under ckpt run, process ",
                                  job->record.supervisor_pid())
                   : std::string(),
          "; end it, or give another --name; nothing was started"));
    }
    clock.Sleep(absl::Milliseconds(10));
  }
}

absl::StatusOr<RegisteredJob> JobRegistry::Find(const std::string& name) const {
  const std::string path = absl::StrCat(directory_, "/", name, "/", kRecord);
  const auto data = ReadFile(path);
  if (absl::IsNotFound(data.status())) {
    return absl::NotFoundError(absl::StrCat("no job named ", name, " runs"));
  }
  CKPT_RETURN_IF_ERROR(data.status());
  RegisteredJob job;
  if (!job.record.ParseFromString(*data)) {
    return absl::DataLossError(absl::StrCat(path, " is damaged"));
  }
  job.supervised = IsAlive(job.record.supervisor_pid());
  return job;
}

absl::StatusOr<std::vector<RegisteredJob>> JobRegistry::List() const {
  const auto names = ListDirectory(directory_);
  if (absl::IsNotFound(names.status())) return std::vector<RegisteredJob>();
  CKPT_RETURN_IF_ERROR(names.status());
  std::vector<RegisteredJob> jobs;
  for (const std::string& name : *names) {
    auto job = Find(name);
    if (job.ok()) {
      jobs.push_back(*std::move(job));
    } else if (absl::IsNotFound(job.status())) {
      // What a guardian leaves, which cannot remove the directory.
      const std::string path = absl::StrCat(directory_, "/", name);
      auto lock = TryLock(path);
      if (lock.ok() && lock->ok()) JobEntry(path, *std::move(lock));
    }
  }
  return jobs;
}

}  // namespace ckpt::run
