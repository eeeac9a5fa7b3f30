// The node's jobs of `ckpt run`, behind a seam, so that who may do what to them
// is tested without any.
#ifndef CKPT_AGENT_RUN_WORK_H_
#define CKPT_AGENT_RUN_WORK_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "proto/agent.pb.h"
#include "proto/checkpoint.pb.h"
#include "proto/run.pb.h"
#include "store/image_store.h"

namespace ckpt::agent {

// All calls block, and may be made by several threads.  The errors are those of
// run/job_control.h.
class RunWork {
 public:
  virtual ~RunWork() = default;

  virtual absl::StatusOr<std::vector<v1::JobStatus>> List() = 0;
  // NotFound: no job of that name runs.
  virtual absl::StatusOr<v1::JobStatus> Get(const std::string& name) = 0;
  virtual absl::Status Suspend(const std::string& name) = 0;
  virtual absl::Status Resume(const std::string& name) = 0;
  virtual absl::StatusOr<v1::StopReport> Stop(const v1::StopJobRequest& request,
                                              const Cancellation& cancel) = 0;
  virtual absl::StatusOr<v1::KillReport> Kill(const v1::KillJobRequest& request,
                                              const Cancellation& cancel) = 0;
  // Of a job that runs, or has run with the node's store.
  virtual absl::StatusOr<v1::JobLogChunk> ReadLog(
      const v1::JobLogRequest& request) = 0;
};

// Thread-safe.
class RealRunWork : public RunWork {
 public:
  explicit RealRunWork(ImageStore store) : store_(std::move(store)) {}

  absl::StatusOr<std::vector<v1::JobStatus>> List() override;
  absl::StatusOr<v1::JobStatus> Get(const std::string& name) override;
  absl::Status Suspend(const std::string& name) override;
  absl::Status Resume(const std::string& name) override;
  absl::StatusOr<v1::StopReport> Stop(const v1::StopJobRequest& request,
                                      const Cancellation& cancel) override;
  absl::StatusOr<v1::KillReport> Kill(const v1::KillJobRequest& request,
                                      const Cancellation& cancel) override;
  absl::StatusOr<v1::JobLogChunk> ReadLog(
      const v1::JobLogRequest& request) override;

 private:
  const ImageStore store_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_RUN_WORK_H_
