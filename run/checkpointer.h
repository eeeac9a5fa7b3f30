// Makes the images of one run of a job, and removes those that are not to stay.
//
//   Checkpointer checkpointer(options, environment, *frame, hooks, job);
//   CKPT_ASSIGN_OR_RETURN(const std::string image,
//                         checkpointer.Checkpoint(/*go_on=*/true));
//   checkpointer.RemoveOldImages(ledger.finished_image());
//
// Not thread-safe.  Borrows its arguments for its lifetime.
#ifndef CKPT_RUN_CHECKPOINTER_H_
#define CKPT_RUN_CHECKPOINTER_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/checkpoint.pb.h"
#include "run/frame.h"
#include "run/hooks.h"
#include "run/run_options.h"
#include "run/self_calls.h"

namespace ckpt::run {

class Checkpointer {
 public:
  struct Job {
    pid_t root = 0;
    int32_t last_number = 0;  // of its newest image
    int32_t restarts = 0;
    std::function<bool()> has_ended;
    // Of what is no failure of a checkpoint: told, a line each.
    std::function<void(const std::string&)> warn;
  };

  Checkpointer(const RunOptions& options, const RunEnvironment& environment,
               Frame& frame, const Hooks& hooks, Job job)
      : options_(options),
        environment_(environment),
        frame_(frame),
        hooks_(hooks),
        job_(std::move(job)) {}

  int32_t last_number() const { return job_.last_number; }

  // The name of the new image.  The job goes on, or, without `go_on`, has
  // ended.  With patience for what passes: a task that waits in vfork(), a
  // group that somebody works on.
  //
  // On failure there is no image and the job goes on.  Errors as
  // checkpoint::Dump(), and those of Hooks::Run() of the hook before it.
  // `caller`, if any, is told while and when it is done.
  absl::StatusOr<std::string> Checkpoint(bool go_on,
                                         SelfCaller* caller = nullptr);

  // Those that the options do not keep; images up to number `finished` are
  // history.  Call it when a new image is whole, or the job has ended well.
  void RemoveOldImages(int32_t finished);

 private:
  absl::Status Dump(const std::string& image, bool go_on, SelfCaller* caller);

  const RunOptions& options_;
  const RunEnvironment& environment_;
  Frame& frame_;
  const Hooks& hooks_;
  Job job_;
};

}  // namespace ckpt::run

#endif  // CKPT_RUN_CHECKPOINTER_H_
