#include "preflight/preflight.h"

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
  v1::CheckReport report;
  report.set_cgroup(job.group->path());
  report.set_root_pid(job.root);
  const absl::Status status = checkpoint::Preflight(job, proc, request.criu());
  if (!status.ok()) {
    v1::CheckFinding& finding = *report.add_findings();
    finding.set_subject("job");
    finding.set_level(v1::CheckFinding::LEVEL_BLOCKER);
    finding.set_found(std::string(status.message()));
  }
  report.set_usable(status.ok());
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
