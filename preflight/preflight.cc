#include "preflight/preflight.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/check_cancel.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/status.h"
#include "checkpoint/findings.h"
#include "checkpoint/job.h"
#include "checkpoint/preflight.h"
#include "criu/binary.h"
#include "criu/session.h"
#include "freezer/lookup.h"
#include "node/check.h"
#include "preflight/needs.h"
#include "proto/checkpoint.pb.h"
#include "restore/fit.h"

namespace ckpt::preflight {
namespace {

absl::Status CheckCancel(const Environment& environment) {
  return ckpt::CheckCancel(environment.cancel,
                           "cancelled; nothing was touched");
}

// "4.2.1", or "" when there is none that works.
std::string CriuVersion(const std::string& criu) {
  const auto path = criu::FindCriu(criu);
  if (!path.ok()) return "";
  const auto session = criu::Session::Start({.binary = *path});
  return session.ok() ? (*session)->version().ToString() : "";
}

v1::CheckFinding MembershipFinding(ProcFs& proc, pid_t pid,
                                   const std::string& group, bool is_stray) {
  v1::CheckFinding finding;
  finding.set_subject(is_stray ? "stray" : "outsider");
  finding.set_level(v1::CheckFinding::LEVEL_BLOCKER);
  finding.set_found(absl::StrCat("process ", DescribeTask(proc, pid),
                                 is_stray
                                     ? " is of the tree, but not in cgroup "
                                     : " is not of the tree, but in cgroup ",
                                 group));
  finding.set_meaning(is_stray ? "so that the freeze of the group would not "
                                 "hold it"
                               : "so that it would be frozen, and not dumped");
  finding.set_advice(is_stray ? "move it into the group, or use --subtree with "
                                "a group above"
                              : "move it to another group, or end it");
  finding.set_pid(pid);
  if (const auto stat = proc.Stat(pid); stat.ok()) {
    finding.set_comm(stat->comm);
  }
  return finding;
}

// Who is where it should not be; a dump verifies that when all are frozen.
// Told only of those that are so in two looks: the job runs.
absl::Status AddMembers(const checkpoint::Job& job, ProcFs& proc,
                        v1::CheckReport& report) {
  if (job.group == nullptr) return absl::OkStatus();
  std::set<pid_t> strays, outsiders;
  for (int look = 0; look < 2; ++look) {
    CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> tree,
                          ProcessTree(proc, job.root));
    CKPT_ASSIGN_OR_RETURN(
        const std::vector<pid_t> members,
        job.subtree ? job.group->SubtreeProcesses() : job.group->Processes());
    std::set<pid_t> here, there;
    for (const pid_t pid : tree) {
      const auto stat = proc.Stat(pid);
      const bool lives = stat.ok() && stat->state != 'Z' && stat->state != 'X';
      if (lives &&
          std::find(members.begin(), members.end(), pid) == members.end()) {
        here.insert(pid);
      }
    }
    for (const pid_t pid : members) {
      if (std::find(tree.begin(), tree.end(), pid) == tree.end()) {
        there.insert(pid);
      }
    }
    const auto keep_common = [look](std::set<pid_t>& all,
                                    const std::set<pid_t>& now) {
      if (look == 0) {
        all = now;
        return;
      }
      for (auto it = all.begin(); it != all.end();) {
        it = now.count(*it) == 0 ? all.erase(it) : std::next(it);
      }
    };
    keep_common(strays, here);
    keep_common(outsiders, there);
  }
  for (const pid_t pid : strays) {
    *report.add_findings() =
        MembershipFinding(proc, pid, job.group->path(), /*is_stray=*/true);
  }
  for (const pid_t pid : outsiders) {
    *report.add_findings() =
        MembershipFinding(proc, pid, job.group->path(), /*is_stray=*/false);
  }
  if (!strays.empty() || !outsiders.empty()) report.set_usable(false);
  return absl::OkStatus();
}

absl::StatusOr<v1::CheckReport> CheckJob(const v1::CheckRequest& request,
                                         const Environment& environment) {
  v1::DumpRequest dump;
  dump.set_cgroup(request.cgroup());
  dump.set_pid(request.pid());
  dump.set_hierarchy(request.hierarchy());
  dump.set_subtree(request.subtree());
  ProcFs& proc = ProcFs::Real();
  CKPT_ASSIGN_OR_RETURN(const checkpoint::Job job,
                        checkpoint::FindJob(dump, proc));
  // Half a look would find too little.
  if (absl::IsPermissionDenied(proc.OpenFiles(job.root).status())) {
    return absl::PermissionDeniedError(absl::StrCat(
        "what process ", DescribeTask(proc, job.root),
        " has open is for root to see; use sudo, or ask the node's agent "
        "(--node)"));
  }
  Clock& clock = Clock::Real();
  const absl::Time start = clock.Now();
  checkpoint::JobSurvey survey;
  CKPT_ASSIGN_OR_RETURN(v1::CheckReport report,
                        checkpoint::Examine(job, proc, request.criu(), &survey,
                                            environment.cancel));
  report.set_seconds(absl::ToDoubleSeconds(clock.Now() - start));
  CKPT_RETURN_IF_ERROR(AddMembers(job, proc, report));
  CKPT_RETURN_IF_ERROR(CheckCancel(environment));
  if (request.with_needs()) {
    *report.mutable_needs() = DescribeNeeds(job, survey, proc, request.criu(),
                                            CriuVersion(environment.criu));
  }
  return report;
}

absl::StatusOr<v1::CheckReport> CheckFit(const v1::CheckRequest& request,
                                         const Environment& environment) {
  v1::CheckReport report =
      node::CheckNode(environment.criu, *environment.store);
  CKPT_RETURN_IF_ERROR(CheckCancel(environment));
  // Of the node itself only what is amiss.
  std::vector<v1::CheckFinding> findings;
  for (const v1::CheckFinding& finding : report.findings()) {
    if (finding.level() != v1::CheckFinding::LEVEL_OK) {
      findings.push_back(finding);
    }
  }
  restore::NodeFacts here = restore::ReadNodeFacts();
  here.criu_version = CriuVersion(environment.criu);
  here.store = environment.store->directory();
  CKPT_RETURN_IF_ERROR(CheckCancel(environment));
  const v1::JobNeeds& needs = request.needs();
  const std::string& name =
      request.into_cgroup().empty() ? needs.cgroup() : request.into_cgroup();
  if (!name.empty()) {
    const auto place = freezer::PathForCgroup(
        name, request.hierarchy() == v1::HIERARCHY_UNSPECIFIED
                  ? needs.hierarchy()
                  : request.hierarchy());
    if (place.ok()) here.cgroup = *place;
    here.cgroup_problem = std::string(place.status().message());
  }
  for (v1::CheckFinding& finding :
       restore::CompareWithNode(needs, here, ProcFs::Real())) {
    findings.push_back(std::move(finding));
  }
  return checkpoint::MakeReport(std::move(findings));
}

}  // namespace

absl::StatusOr<v1::CheckReport> Check(const v1::CheckRequest& request,
                                      const Environment& environment) {
  const bool of_job = !request.cgroup().empty() || request.pid() != 0;
  if (of_job && request.has_needs()) {
    return absl::InvalidArgumentError(
        "ask about a job here, or about one that is to come, not both");
  }
  CKPT_RETURN_IF_ERROR(CheckCancel(environment));
  if (of_job) return CheckJob(request, environment);
  if (request.has_needs()) return CheckFit(request, environment);
  return node::CheckNode(environment.criu, *environment.store);
}

absl::Status Verdict(const v1::CheckReport& report) {
  return checkpoint::ToStatus(report);
}

}  // namespace ckpt::preflight
