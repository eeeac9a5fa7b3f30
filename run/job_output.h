// Where a job prints to.
//
//   CKPT_ASSIGN_OR_RETURN(const std::string path,
//                         JobOutputFile(registry, "render", false, store));
#ifndef CKPT_RUN_JOB_OUTPUT_H_
#define CKPT_RUN_JOB_OUTPUT_H_

#include <string>

#include "absl/status/statusor.h"
#include "run/job_registry.h"
#include "store/image_store.h"

namespace ckpt::run {

// The file of its standard output, or of its standard error: as its record
// tells, or, when it does not run, its ledger in the store.
//   InvalidArgument  the name is none
//   NotFound         no job of that name runs, or has run with that store
absl::StatusOr<std::string> JobOutputFile(const JobRegistry& registry,
                                          const std::string& name, bool errors,
                                          const ImageStore& store);

}  // namespace ckpt::run

#endif  // CKPT_RUN_JOB_OUTPUT_H_
