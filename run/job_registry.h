// The jobs that run on this machine: /run/ckpt/jobs/NAME, locked by the
// supervisor of the job and gone when it has ended.
//
//   CKPT_ASSIGN_OR_RETURN(auto entry, JobRegistry::Default().Enter("render"));
//   CKPT_RETURN_IF_ERROR(entry->Write(record));
//   ... the destructor removes it ...
//
// The lock is flock() on the directory, so it ends with the process, and with
// the guardian that ends the job of a supervisor that was killed.  So the name
// is free only when nothing of the job runs any more.
#ifndef CKPT_RUN_JOB_REGISTRY_H_
#define CKPT_RUN_JOB_REGISTRY_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/last_will.h"
#include "base/unique_fd.h"
#include "proto/run.pb.h"

namespace ckpt::run {

// Not thread-safe.
class JobEntry {
 public:
  JobEntry(std::string path, UniqueFd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}
  ~JobEntry();
  JobEntry(const JobEntry&) = delete;
  JobEntry& operator=(const JobEntry&) = delete;

  // In one step: readers see the old record or the new one.
  absl::Status Write(const v1::JobRecord& record);
  // Has a guardian hold the name, and take the record back when it carries out
  // the will.
  void Protect(LastWill& guardian) const;
  // Where the job calls for its own checkpoint.
  std::string calls_path() const;

 private:
  const std::string path_;
  UniqueFd lock_;
};

struct RegisteredJob {
  v1::JobRecord record;
  bool supervised = false;  // the supervisor lives
};

// Thread-safe.
class JobRegistry {
 public:
  explicit JobRegistry(std::string directory)
      : directory_(std::move(directory)) {}
  // The machine's; never destroyed.
  static JobRegistry& Default();

  // Takes the name.  One whose supervisor was killed is waited for a moment:
  // its guardian is ending the job.
  // AlreadyExists: a job of that name runs (the supervisor is named).
  absl::StatusOr<std::unique_ptr<JobEntry>> Enter(const std::string& name,
                                                  Clock& clock) const;

  // NotFound: no job of that name runs.
  absl::StatusOr<RegisteredJob> Find(const std::string& name) const;
  // By name.  Removes what the guardian of a killed supervisor has left.
  absl::StatusOr<std::vector<RegisteredJob>> List() const;

 private:
  const std::string directory_;
};

}  // namespace ckpt::run

#endif  // CKPT_RUN_JOB_REGISTRY_H_
