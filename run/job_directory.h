// What outlives the runs of a job: STORE/.jobs/NAME, beside its images, so that
// it goes where they go.
//
//   CKPT_ASSIGN_OR_RETURN(const JobDirectory directory,
//                         JobDirectory::Make(store.directory(), "render"));
//   directory.File("out")
//   CKPT_ASSIGN_OR_RETURN(v1::JobLedger ledger, directory.ReadLedger());
//
// It holds the files that the job prints to, the ledger, and what a job that
// goes on can read there, as its environment is that of its first start: how
// often it has been restored.  The images of the job are NAME.1, NAME.2 ... in
// the store.
//
// Thread-safe: holds nothing but a path.
#ifndef CKPT_RUN_JOB_DIRECTORY_H_
#define CKPT_RUN_JOB_DIRECTORY_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/run.pb.h"

namespace ckpt::run {

class JobDirectory {
 public:
  // Makes it where it does not exist.  `name` is one that ImageStore takes.
  static absl::StatusOr<JobDirectory> Make(const std::string& store,
                                           const std::string& name);
  // NotFound: no job of that name has ever run with that store.
  static absl::StatusOr<JobDirectory> Open(const std::string& store,
                                           const std::string& name);

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  // Where the job prints to, unless it was started with other files.
  std::string output() const { return File("out"); }
  std::string error_output() const { return File("err"); }

  // An empty one for a job that never ran.  DataLoss: it cannot be read.
  absl::StatusOr<v1::JobLedger> ReadLedger() const;
  // In one step and durably: the old one is there, or the new one.
  absl::Status WriteLedger(const v1::JobLedger& ledger) const;

  // The file `restarted`: a number, blanks and a newline, always of the same
  // size, as CRIU does not restore a process that has a file open which is of
  // another size now.
  absl::Status WriteRestarts(int32_t restarts) const;
  std::string restarts_file() const { return File("restarted"); }

 private:
  explicit JobDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// Writes `data` to a file of that path in one step: readers see the old one or
// the new one.  With `durable`, so do those after a crash of the machine.
absl::Status ReplaceFile(const std::string& path, const std::string& data,
                         bool durable);

}  // namespace ckpt::run

#endif  // CKPT_RUN_JOB_DIRECTORY_H_
