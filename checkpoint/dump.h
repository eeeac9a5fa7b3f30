// One dump of a job into an image.
//
//   CKPT_ASSIGN_OR_RETURN(v1::DumpReport report,
//                         Dump(request, {.store = &store, .criu = path}));
//
// The order of things, and why, is in docs/life_of_a_dump.md.  In short: CRIU
// is started first; its pre-dump notification is where the job is frozen and
// verified; its post-dump notification is the commit point.
//
// On success the image is whole and on the disk, and the job is in the state
// that was asked for.  On failure there is no image, and the job is in the
// state that it had before; the message says which.  That also holds when this
// process is killed: a guardian gives the job back.
#ifndef CKPT_CHECKPOINT_DUMP_H_
#define CKPT_CHECKPOINT_DUMP_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "checkpoint/hand_over.h"
#include "proto/checkpoint.pb.h"
#include "store/image_store.h"

namespace ckpt::checkpoint {

inline constexpr double kDefaultTimeoutSeconds = 120;
// A group that is not frozen by then will not be soon.
inline constexpr double kFreezeLimitSeconds = 10;

struct DumpEnvironment {
  const ImageStore* store = nullptr;     // borrowed for the call
  std::string criu;                      // path of the binary
  const Cancellation* cancel = nullptr;  // borrowed for the call; may be null
  // If set: called when CRIU has written its files, which may still be changed,
  // and holds all tasks.  An error gives the job back.
  std::function<absl::Status(PendingImage& image)> image_written = nullptr;
  // If set, with a job that is to end: the job goes to somebody else.  Borrowed
  // for the call.  InvalidArgument with no_freezer.
  const HandOver* hand_over = nullptr;
  // If set: called when a job that is left alone goes on, and its image, which
  // is complete and was looked at, is not yet on the disk.
  std::function<void()> job_released = nullptr;
  // The caller waits for the disk: digest pages while CRIU writes them, though
  // that costs processor time while the job stands still.  Always done for a
  // job that is to end, as that stands still until all is on the disk.
  bool read_ahead = false;
  // If set: called as the dump gets into each phase.
  std::function<void(v1::Phase phase)> on_phase = nullptr;
};

// Errors:
//   InvalidArgument     the request
//   NotFound            no such cgroup or process, empty cgroup
//   AlreadyExists       the image is there
//   FailedPrecondition  the job cannot be dumped as it is (offender named)
//   Unavailable         tasks do not freeze (named), the group is in use
//   DeadlineExceeded, Cancelled, ResourceExhausted, DataLoss, Internal
//   Aborted             the group changed under way; or CRIU was killed after
//                       the image was committed (the message says what is left)
absl::StatusOr<v1::DumpReport> Dump(const v1::DumpRequest& request,
                                    const DumpEnvironment& environment);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_DUMP_H_
