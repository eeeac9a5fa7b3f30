#include "preflight/preflight.h"

#include "absl/time/time.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/status.h"
#include "checkpoint/findings.h"
#include "checkpoint/job.h"
#include "checkpoint/preflight.h"
#include "node/check.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::preflight {
namespace {

absl::StatusOr<v1::CheckReport> CheckJob(const v1::CheckRequest& request) {
  v1::DumpRequest dump;
  dump.set_cgroup(request.cgroup());
  dump.set_pid(request.pid());
  dump.set_hierarchy(request.hierarchy());
  dump.set_subtree(request.subtree());
  ProcFs& proc = ProcFs::Real();
  CKPT_ASSIGN_OR_RETURN(const checkpoint::Job job,
                        checkpoint::FindJob(dump, proc));
  Clock& clock = Clock::Real();
  const absl::Time start = clock.Now();
  CKPT_ASSIGN_OR_RETURN(v1::CheckReport report,
                        checkpoint::Examine(job, proc, request.criu()));
  report.set_seconds(absl::ToDoubleSeconds(clock.Now() - start));
  return report;
}

}  // namespace

absl::StatusOr<v1::CheckReport> Check(const v1::CheckRequest& request,
                                      const Environment& environment) {
  const bool of_job = !request.cgroup().empty() || request.pid() != 0;
  if (of_job && request.has_needs()) {
    return absl::InvalidArgumentError(
        "ask about a job here, or about one that is to come, not both");
  }
  if (of_job) return CheckJob(request);
  return node::CheckNode(environment.criu, *environment.store);
}

absl::Status Verdict(const v1::CheckReport& report) {
  return checkpoint::ToStatus(report);
}

}  // namespace ckpt::preflight
