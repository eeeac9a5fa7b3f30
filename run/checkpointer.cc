#include "run/checkpointer.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/status.h"
#include "checkpoint/dump.h"
#include "run/job_images.h"
#include "run/retention.h"

namespace ckpt::run {
namespace {

// A vfork() is over in milliseconds, a freeze by hand in seconds; a job that
// cannot be dumped at all is told of soon enough.
constexpr absl::Duration kRetryLimit = absl::Seconds(5);
// CRIU alone gives a task that it cannot stop 10 s, which is no reason not to
// try once more.
constexpr int kMinimumTries = 3;
constexpr absl::Duration kRetryPause = absl::Milliseconds(50);

}  // namespace

absl::Status Checkpointer::Dump(const std::string& image, bool go_on,
                                SelfCaller* caller) {
  v1::DumpRequest request;
  request.set_cgroup(frame_.group().path());
  request.set_hierarchy(frame_.group().hierarchy());
  request.set_subtree(true);
  request.set_pid(job_.root);
  request.set_image(image);
  request.set_leave_running(go_on);
  request.set_timeout_seconds(options_.timeout_seconds);
  *request.mutable_criu() = options_.criu;
  checkpoint::DumpEnvironment dump_environment = {.store = environment_.store,
                                                  .criu = environment_.criu};
  if (caller != nullptr) {
    CKPT_ASSIGN_OR_RETURN(const std::string path,
                          environment_.store->PathOf(image));
    caller->TellWhile(job_.last_number + 1, path, dump_environment);
  }
  Clock& clock = Clock::Real();
  const absl::Time limit = clock.Now() + kRetryLimit;
  for (int tries = 1;; ++tries) {
    absl::Status status = checkpoint::Dump(request, dump_environment).status();
    const bool may_pass =
        (absl::IsFailedPrecondition(status) || absl::IsUnavailable(status) ||
         absl::IsAborted(status)) &&
        (caller == nullptr || !caller->is_released());
    const bool enough = tries >= kMinimumTries && clock.Now() > limit;
    if (!may_pass || job_.has_ended() || enough) return status;
    clock.Sleep(kRetryPause);
  }
}

absl::StatusOr<std::string> Checkpointer::Checkpoint(bool go_on,
                                                     SelfCaller* caller) {
  HookFacts facts = {.image = JobImageName(options_.name, job_.last_number + 1),
                     .restarts = job_.restarts};
  facts.outcome = hooks_.Run(Hook::kPreDump, facts);
  // The job ran on meanwhile.
  if (facts.outcome.ok() && job_.has_ended()) {
    facts.outcome = absl::NotFoundError("the job has ended");
  }
  if (facts.outcome.ok()) facts.outcome = Dump(facts.image, go_on, caller);
  if (facts.outcome.ok()) ++job_.last_number;
  if (caller != nullptr) caller->Tell(facts.outcome);
  // Also after a failure: it can undo what the one before has done.
  const absl::Status after = hooks_.Run(Hook::kPostDump, facts);
  if (!after.ok()) job_.warn(std::string(after.message()));
  CKPT_RETURN_IF_ERROR(facts.outcome);
  FaultPoint("run.checkpointed").IgnoreError();
  return facts.image;
}

void Checkpointer::RemoveOldImages(int32_t finished) {
  const auto images = ListJobImages(*environment_.store, options_.name);
  if (!images.ok()) return job_.warn(std::string(images.status().message()));
  for (const RemovableImage& image :
       Retention(options_.retention).Choose(*images, finished, absl::Now())) {
    absl::Status removed = FaultPoint("run.before_remove");
    if (removed.ok()) removed = environment_.store->Remove(image.name);
    if (removed.ok()) {
      environment_.tell(
          absl::StrCat("removed image ", image.name, ": ", image.reason));
    } else if (!absl::IsNotFound(removed)) {
      job_.warn(std::string(removed.message()));
    }
  }
}

}  // namespace ckpt::run
