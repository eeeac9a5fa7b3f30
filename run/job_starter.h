// Makes a job run in its frame: from its newest whole image, or afresh.
//
//   JobStarter starter(options, environment, *frame, directory, hooks);
//   CKPT_ASSIGN_OR_RETURN(const StartedJob job, starter.Start(ledger));
//
// A damaged image is reported, and the one before it is taken.  An image that
// is whole and cannot be restored here is an error, not a reason to lose its
// work by starting afresh.
//
// Not thread-safe.  Borrows its arguments for its lifetime.
#ifndef CKPT_RUN_JOB_STARTER_H_
#define CKPT_RUN_JOB_STARTER_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/run.pb.h"
#include "run/frame.h"
#include "run/hooks.h"
#include "run/job_directory.h"
#include "run/job_images.h"
#include "run/run_options.h"

namespace ckpt::run {

struct StartedJob {
  pid_t root = 0;  // a child of the caller
  std::string restored_from;
  // The files that it prints to, and where this run's output begins in them.
  std::string output;
  std::string error_output;
  off_t output_from = 0;
  off_t error_from = 0;
  int32_t last_number = 0;    // of the newest image, or of the last that was
  int64_t image_unix_ns = 0;  // when the one that it goes on from was made
  std::vector<std::string> warnings;  // which were told already
};

class JobStarter {
 public:
  JobStarter(const RunOptions& options, const RunEnvironment& environment,
             Frame& frame, const JobDirectory& directory, const Hooks& hooks,
             std::string calls_path)
      : options_(options),
        environment_(environment),
        frame_(frame),
        directory_(directory),
        hooks_(hooks),
        calls_path_(std::move(calls_path)) {}

  // Errors as Supervise(); nothing runs then.  The caller must be a subreaper.
  //
  // What is written down in `ledger`, before anything runs, and durably: one
  // restart more; or, for a start afresh, that all images there are are
  // history. So no two runs have the same number, and none goes on from an
  // image of before a fresh start, also if we are killed at any moment.
  absl::StatusOr<StartedJob> Start(v1::JobLedger& ledger);

 private:
  // The files to print to that the options name.
  std::string AskedOutput() const;
  std::string AskedErrorOutput() const;
  // Of a job that goes on: it has those open that it was started with.
  void SetOutput(const v1::JobLedger& ledger, StartedJob& job);
  void WarnOfOutput(StartedJob& job);
  void Warn(const std::string& text, StartedJob& job);

  absl::Status CheckCommand(const std::string& program, const JobImage& image);
  // With its hooks.
  absl::Status Restore(const JobImage& image, v1::JobLedger& ledger,
                       StartedJob& job);
  absl::Status RestoreCounted(const JobImage& image, v1::JobLedger& ledger,
                              StartedJob& job);
  absl::Status RestoreNow(const JobImage& image, const v1::JobLedger& ledger,
                          StartedJob& job);
  absl::Status StartAfresh(const std::string& program, v1::JobLedger& ledger,
                           StartedJob& job);

  const RunOptions& options_;
  const RunEnvironment& environment_;
  Frame& frame_;
  const JobDirectory& directory_;
  const Hooks& hooks_;
  const std::string calls_path_;  // for the job's environment
};

}  // namespace ckpt::run

#endif  // CKPT_RUN_JOB_STARTER_H_
