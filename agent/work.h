// What the agent's desks have done: the node itself behind two seams, so that
// who may do what, and when, is tested without one.
#ifndef CKPT_AGENT_WORK_H_
#define CKPT_AGENT_WORK_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/operations.h"
#include "base/cancellation.h"
#include "proto/agent.pb.h"
#include "proto/check.pb.h"
#include "proto/checkpoint.pb.h"
#include "proto/image.pb.h"

namespace ckpt::agent {

// Where a group is, or would be.
struct GroupPlace {
  std::string directory;  // "/sys/fs/cgroup/jobs/a"
  std::string path;       // below its hierarchy's top: "/jobs/a"
  // Of one that exists.
  v1::Hierarchy hierarchy = v1::HIERARCHY_UNSPECIFIED;
};

// All calls block, and may be made by several threads.  Requests name groups by
// their directories.  The errors are those of node/groups.h.
class GroupWork {
 public:
  virtual ~GroupWork() = default;

  // NotFound, InvalidArgument.
  virtual absl::StatusOr<GroupPlace> Find(const std::string& name,
                                          v1::Hierarchy hierarchy) = 0;

  // The groups stay frozen when it returns.
  virtual absl::StatusOr<v1::FreezeResponse> Freeze(
      const v1::FreezeRequest& request, const Cancellation& cancel) = 0;
  virtual absl::StatusOr<v1::FreezeResponse> Thaw(
      const v1::ThawRequest& request, const Cancellation& cancel) = 0;
  virtual absl::StatusOr<v1::KillResponse> Kill(const v1::KillRequest& request,
                                                const Cancellation& cancel) = 0;
  virtual absl::StatusOr<v1::StatusResponse> Status(
      const v1::StatusRequest& request) = 0;
  virtual absl::StatusOr<v1::VerifyFreezeReport> VerifyFreeze(
      const v1::VerifyFreezeRequest& request) = 0;
  virtual absl::StatusOr<v1::RecoverReport> Recover(
      const v1::RecoverRequest& request) = 0;
  virtual absl::Status Watch(
      const v1::WatchRequest& request, const Cancellation& cancel,
      const std::function<absl::Status(const v1::WatchEvent&)>& emit) = 0;
};

// What an image brings along for its restore.
struct ImageOrigin {
  bool arrived = false;  // from another node
  v1::ManifestOptions options;
};

// The same for jobs and images.  The errors are those of node/images.h,
// checkpoint/dump.h and restore/restore.h.
class JobWork {
 public:
  virtual ~JobWork() = default;

  // Of a group that exists; of one that a restore may make; of a directory.
  virtual absl::StatusOr<GroupPlace> Find(const std::string& name,
                                          v1::Hierarchy hierarchy) = 0;
  virtual absl::StatusOr<GroupPlace> PlaceFor(const std::string& name,
                                              v1::Hierarchy hierarchy) = 0;
  virtual absl::StatusOr<GroupPlace> PlaceOf(const std::string& directory) = 0;

  // What the image's manifest tells of the job.
  virtual absl::StatusOr<v1::ManifestJob> JobOf(const std::string& image) = 0;
  virtual absl::StatusOr<ImageOrigin> OriginOf(const std::string& image) = 0;

  // Errors: those of preflight/preflight.h.
  virtual absl::StatusOr<v1::CheckReport> Check(const v1::CheckRequest& request,
                                                const Cancellation& cancel) = 0;
  virtual absl::StatusOr<v1::ImageListReport> List() = 0;
  virtual absl::StatusOr<v1::ImageReport> Get(const std::string& image) = 0;
  virtual absl::StatusOr<v1::VerifyReport> Verify(
      const std::string& image, const Cancellation& cancel) = 0;
  virtual absl::StatusOr<v1::RemoveReport> Remove(const std::string& image) = 0;
  virtual absl::StatusOr<v1::PinReport> Pin(const std::string& image,
                                            bool pinned) = 0;
  virtual absl::Status Dump(const v1::DumpRequest& request,
                            const Operations::Running& running) = 0;
  virtual absl::Status Restore(const v1::RestoreRequest& request,
                               const Operations::Running& running) = 0;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_WORK_H_
