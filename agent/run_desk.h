// Where requests about the jobs of `ckpt run` are taken: admits them by the
// group that the job runs in, and keeps two from working on it.
//
//   CKPT_ASSIGN_OR_RETURN(v1::JobListReport report, desk.Suspend(caller, job));
//
// A job that does not run any more is in no group: its log is for those who may
// do it to all groups.  Errors: PermissionDenied, NotFound, those of
// run/job_control.h.
//
// Thread-safe.  Borrows all for its lifetime.
#ifndef CKPT_AGENT_RUN_DESK_H_
#define CKPT_AGENT_RUN_DESK_H_

#include <string>

#include "absl/status/statusor.h"
#include "agent/caller.h"
#include "agent/gate.h"
#include "agent/group_claims.h"
#include "agent/run_work.h"
#include "agent/work.h"
#include "base/cancellation.h"
#include "proto/agent.pb.h"
#include "proto/checkpoint.pb.h"
#include "proto/run.pb.h"

namespace ckpt::agent {

class RunDesk {
 public:
  // `places` tells where groups are.
  RunDesk(const Gate& gate, GroupClaims& claims, JobWork& places, RunWork& work)
      : gate_(gate), claims_(claims), places_(places), work_(work) {}

  absl::StatusOr<v1::JobListReport> List(const Caller& caller);
  absl::StatusOr<v1::JobListReport> Suspend(const Caller& caller,
                                            const v1::JobRequest& request);
  absl::StatusOr<v1::JobListReport> Resume(const Caller& caller,
                                           const v1::JobRequest& request);
  absl::StatusOr<v1::StopReport> Stop(const Caller& caller,
                                      const v1::StopJobRequest& request,
                                      const Cancellation& cancel);
  absl::StatusOr<v1::KillReport> Kill(const Caller& caller,
                                      const v1::KillJobRequest& request,
                                      const Cancellation& cancel);
  absl::StatusOr<v1::JobLogChunk> ReadLog(const Caller& caller,
                                          const v1::JobLogRequest& request);

 private:
  // The directory of the group of a job that runs, once that is admitted.
  absl::StatusOr<std::string> Admit(const Caller& caller, Verb verb,
                                    const std::string& name);
  absl::StatusOr<GroupClaims::Claim> AdmitAndTake(const Caller& caller,
                                                  Verb verb,
                                                  const std::string& name);

  const Gate& gate_;
  GroupClaims& claims_;
  JobWork& places_;
  RunWork& work_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_RUN_DESK_H_
