#include "agent/run_desk.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"

namespace ckpt::agent {
namespace {

// A name, and no path to a record of the caller's own making.
absl::Status CheckName(const std::string& name) {
  if (!name.empty() && name[0] != '.' && !absl::StrContains(name, '/') &&
      !absl::StrContains(name, absl::string_view("\0", 1))) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", name, "' is no name of a job; nothing was touched"));
}

}  // namespace

absl::StatusOr<std::string> RunDesk::Admit(const Caller& caller, Verb verb,
                                           const std::string& name) {
  CKPT_RETURN_IF_ERROR(gate_.AdmitVerb(caller, verb, name));
  CKPT_RETURN_IF_ERROR(CheckName(name));
  CKPT_ASSIGN_OR_RETURN(const v1::JobStatus job, work_.Get(name));
  CKPT_ASSIGN_OR_RETURN(const GroupPlace place,
                        places_.PlaceOf(job.record().cgroup()));
  CKPT_RETURN_IF_ERROR(gate_.Admit(caller, verb, {place.path}, name));
  return place.directory;
}

absl::StatusOr<GroupClaims::Claim> RunDesk::AdmitAndTake(
    const Caller& caller, Verb verb, const std::string& name) {
  CKPT_ASSIGN_OR_RETURN(const std::string directory, Admit(caller, verb, name));
  return claims_.Take({directory},
                      absl::StrCat(Verb_Name(verb), " by ", caller.name));
}

absl::StatusOr<v1::JobListReport> RunDesk::List(const Caller& caller) {
  CKPT_RETURN_IF_ERROR(gate_.Admit(caller, JOBS, {}, ""));
  CKPT_ASSIGN_OR_RETURN(auto jobs, work_.List());
  v1::JobListReport seen;
  for (v1::JobStatus& job : jobs) {
    const auto place = places_.PlaceOf(job.record().cgroup());
    if (place.ok() && gate_.MaySee(caller, JOBS, place->path)) {
      *seen.add_jobs() = std::move(job);
    }
  }
  return seen;
}

absl::StatusOr<v1::JobListReport> RunDesk::Suspend(
    const Caller& caller, const v1::JobRequest& request) {
  CKPT_ASSIGN_OR_RETURN(const auto claim,
                        AdmitAndTake(caller, SUSPEND, request.name()));
  CKPT_RETURN_IF_ERROR(work_.Suspend(request.name()));
  v1::JobListReport report;
  CKPT_ASSIGN_OR_RETURN(*report.add_jobs(), work_.Get(request.name()));
  return report;
}

absl::StatusOr<v1::JobListReport> RunDesk::Resume(
    const Caller& caller, const v1::JobRequest& request) {
  CKPT_ASSIGN_OR_RETURN(const auto claim,
                        AdmitAndTake(caller, RESUME, request.name()));
  CKPT_RETURN_IF_ERROR(work_.Resume(request.name()));
  v1::JobListReport report;
  CKPT_ASSIGN_OR_RETURN(*report.add_jobs(), work_.Get(request.name()));
  return report;
}

absl::StatusOr<v1::StopReport> RunDesk::Stop(const Caller& caller,
                                             const v1::StopJobRequest& request,
                                             const Cancellation& cancel) {
  // Not claimed: it may end in a checkpoint that others wait for.
  CKPT_RETURN_IF_ERROR(Admit(caller, STOP, request.name()).status());
  return work_.Stop(request, cancel);
}

absl::StatusOr<v1::KillReport> RunDesk::Kill(const Caller& caller,
                                             const v1::KillJobRequest& request,
                                             const Cancellation& cancel) {
  CKPT_ASSIGN_OR_RETURN(const auto claim,
                        AdmitAndTake(caller, KILL, request.name()));
  return work_.Kill(request, cancel);
}

absl::StatusOr<v1::JobLogChunk> RunDesk::ReadLog(
    const Caller& caller, const v1::JobLogRequest& request) {
  if (request.offset() < 0) {
    return absl::InvalidArgumentError("the offset is below 0");
  }
  const auto admitted = Admit(caller, JOBS, request.name());
  if (absl::IsNotFound(admitted.status())) {
    CKPT_RETURN_IF_ERROR(gate_.Admit(caller, JOBS, {""}, request.name()));
  } else {
    CKPT_RETURN_IF_ERROR(admitted.status());
  }
  return work_.ReadLog(request);
}

}  // namespace ckpt::agent
