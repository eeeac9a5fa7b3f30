#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "run/job_directory.h"
#include "run/job_registry.h"
#include "run/output_copier.h"

namespace ckpt::cli {
namespace {

// A file system has no event for every kind of file that output may go to.
constexpr absl::Duration kLook = absl::Milliseconds(100);

// Where a job prints to: as its record tells, or, when it does not run, its
// ledger.
absl::StatusOr<std::string> FileOf(const std::string& name, bool errors,
                                   const ImageStore& store) {
  const auto job = run::JobRegistry::Default().Find(name);
  if (job.ok()) {
    return errors ? job->record.error_output() : job->record.output();
  }
  const auto directory = run::JobDirectory::Open(store.directory(), name);
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

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const std::string name,
                        arguments.OnlyPositional("JOB"));
  const ImageStore store = StoreFlag(arguments);
  CKPT_RETURN_IF_ERROR(store.PathOf(name).status());
  CKPT_ASSIGN_OR_RETURN(const std::string path,
                        FileOf(name, arguments.Has("error"), store));
  if (!OpenAt(AT_FDCWD, path, O_RDONLY).ok()) {
    return absl::NotFoundError(
        absl::StrCat("no output of a job ", name, " at ", path));
  }
  run::OutputCopier copier(path, 0, STDOUT_FILENO);
  while (true) {
    // Looked at first: what it printed at its end is copied, too.
    const auto job = run::JobRegistry::Default().Find(name);
    copier.Copy();
    if (!arguments.Has("follow") || !job.ok() || !job->supervised ||
        context.cancel->cancelled()) {
      return Output();
    }
    Clock::Real().Sleep(kLook);
  }
}

}  // namespace

Command LogsCommand() {
  return {"logs",
          "print what a job of ckpt run has printed",
          "JOB",
          "Of all its runs since it was started afresh, without what was cut "
          "back.",
          "ckpt logs render --follow",
          /*needs_root=*/true,
          WithStoreFlag({{"follow", "", "go on until the job ends"},
                         {"error", "", "its standard error"}}),
          &Run};
}

}  // namespace ckpt::cli
