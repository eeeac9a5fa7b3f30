#include "agent/group_desk.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"

namespace ckpt::agent {

template <typename Request>
absl::Status GroupDesk::Admit(const Caller& caller, Verb verb,
                              Request& request) {
  const std::string subject = absl::StrJoin(request.cgroups(), " ");
  CKPT_RETURN_IF_ERROR(gate_.AdmitVerb(caller, verb, subject));
  if (request.cgroups().empty()) {
    return absl::InvalidArgumentError("the request names no cgroup");
  }
  std::vector<std::string> paths;
  for (std::string& name : *request.mutable_cgroups()) {
    CKPT_ASSIGN_OR_RETURN(GroupPlace place,
                          work_.Find(name, request.hierarchy()));
    paths.push_back(std::move(place.path));
    name = std::move(place.directory);
  }
  return gate_.Admit(caller, verb, paths, "");
}

template <typename Request>
absl::StatusOr<GroupClaims::Claim> GroupDesk::TakeClaim(
    const Caller& caller, Verb verb, const Request& request) {
  return claims_.Take({request.cgroups().begin(), request.cgroups().end()},
                      absl::StrCat(Verb_Name(verb), " by ", caller.name));
}

absl::StatusOr<v1::FreezeResponse> GroupDesk::Freeze(
    const Caller& caller, v1::FreezeRequest request,
    const Cancellation& cancel) {
  CKPT_RETURN_IF_ERROR(Admit(caller, FREEZE, request));
  CKPT_ASSIGN_OR_RETURN(const auto claim, TakeClaim(caller, FREEZE, request));
  return work_.Freeze(request, cancel);
}

absl::StatusOr<v1::FreezeResponse> GroupDesk::Thaw(const Caller& caller,
                                                   v1::ThawRequest request,
                                                   const Cancellation& cancel) {
  CKPT_RETURN_IF_ERROR(Admit(caller, THAW, request));
  CKPT_ASSIGN_OR_RETURN(const auto claim, TakeClaim(caller, THAW, request));
  return work_.Thaw(request, cancel);
}

absl::StatusOr<v1::KillResponse> GroupDesk::Kill(const Caller& caller,
                                                 v1::KillRequest request,
                                                 const Cancellation& cancel) {
  CKPT_RETURN_IF_ERROR(Admit(caller, KILL, request));
  CKPT_ASSIGN_OR_RETURN(const auto claim, TakeClaim(caller, KILL, request));
  return work_.Kill(request, cancel);
}

absl::StatusOr<v1::StatusResponse> GroupDesk::Status(
    const Caller& caller, v1::StatusRequest request) {
  CKPT_RETURN_IF_ERROR(Admit(caller, STATUS, request));
  return work_.Status(request);
}

absl::StatusOr<v1::VerifyFreezeReport> GroupDesk::VerifyFreeze(
    const Caller& caller, v1::VerifyFreezeRequest request) {
  CKPT_RETURN_IF_ERROR(
      gate_.AdmitVerb(caller, VERIFY_FREEZE, request.cgroup()));
  CKPT_ASSIGN_OR_RETURN(const GroupPlace place,
                        work_.Find(request.cgroup(), request.hierarchy()));
  CKPT_RETURN_IF_ERROR(gate_.Admit(caller, VERIFY_FREEZE, {place.path}, ""));
  request.set_cgroup(place.directory);
  return work_.VerifyFreeze(request);
}

absl::StatusOr<v1::RecoverReport> GroupDesk::Recover(
    const Caller& caller, const v1::RecoverRequest& request) {
  CKPT_RETURN_IF_ERROR(gate_.Admit(caller, RECOVER, {"/"}, ""));
  return work_.Recover(request);
}

absl::Status GroupDesk::Watch(
    const Caller& caller, v1::WatchRequest request, const Cancellation& cancel,
    const std::function<absl::Status(const v1::WatchEvent&)>& emit) {
  CKPT_RETURN_IF_ERROR(Admit(caller, WATCH, request));
  return work_.Watch(request, cancel, emit);
}

}  // namespace ckpt::agent
