#include "run/job_output.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "proto/run.pb.h"
#include "run/job_directory.h"

namespace ckpt::run {

absl::StatusOr<std::string> JobOutputFile(const JobRegistry& registry,
                                          const std::string& name, bool errors,
                                          const ImageStore& store) {
  CKPT_RETURN_IF_ERROR(store.PathOf(name).status());
  const auto job = registry.Find(name);
  if (job.ok()) {
    return errors ? job->record.error_output() : job->record.output();
  }
  const auto directory = JobDirectory::Open(store.directory(), name);
  if (absl::IsNotFound(directory.status())) {
    return absl::NotFoundError(absl::StrCat("no job named ", name,
                                            " runs, or has run with store ",
                                            store.directory()));
  }
  CKPT_RETURN_IF_ERROR(directory.status());
  CKPT_ASSIGN_OR_RETURN(const v1::JobLedger ledger, directory->ReadLedger());
  const std::string& file = errors ? ledger.error_output() : ledger.output();
  if (!file.empty()) return file;
  return errors ? directory->error_output() : directory->output();
}

}  // namespace ckpt::run
