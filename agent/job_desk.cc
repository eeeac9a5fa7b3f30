#include "agent/job_desk.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"

namespace ckpt::agent {
namespace {

absl::Status NotForRemote(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      what,
      " is for a ckpt on the node itself, not for its agent; nothing was "
      "touched"));
}

// A name in the store: a path could be any file of the node.
absl::Status CheckImageName(const std::string& image) {
  return absl::StrContains(image, '/') ? NotForRemote("an image with a path")
                                       : absl::OkStatus();
}

// Kinds of external resources whose key names no file of the node.
bool IsHarmless(const std::string& external) {
  return absl::StartsWith(external, "pipe:[") ||
         absl::StartsWith(external, "tty[") ||
         absl::StartsWith(external, "unix[");
}

absl::Status CheckDump(const v1::DumpRequest& request) {
  CKPT_RETURN_IF_ERROR(CheckImageName(request.image()));
  CKPT_RETURN_IF_ERROR(CheckRemoteCriu(request.criu()));
  if (request.no_freezer()) return NotForRemote("a dump without the freezer");
  if (request.self_pid() != 0) return NotForRemote("a self-checkpoint");
  if (request.cgroup().empty()) {
    return absl::InvalidArgumentError(
        "name the job by its cgroup; nothing was touched");
  }
  return absl::OkStatus();
}

absl::Status CheckRestore(const v1::RestoreRequest& request) {
  CKPT_RETURN_IF_ERROR(CheckImageName(request.image()));
  if (!request.pidfile().empty()) return NotForRemote("a pidfile");
  return CheckRemoteCriu(request.criu());
}

}  // namespace

absl::Status CheckRemoteCriu(const v1::CriuOptions& options) {
  if (!options.config_file().empty()) return NotForRemote("CRIU's config file");
  if (!options.root().empty()) return NotForRemote("a root directory");
  if (!options.inherit_fds().empty()) return NotForRemote("a descriptor");
  if (!std::all_of(options.external().begin(), options.external().end(),
                   &IsHarmless)) {
    return NotForRemote("an external resource other than pipe, tty and unix");
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::CheckReport> JobDesk::Check(const Caller& caller,
                                               const v1::CheckRequest& request,
                                               const Cancellation& cancel) {
  CKPT_RETURN_IF_ERROR(gate_.AdmitVerb(caller, CHECK, request.cgroup()));
  CKPT_RETURN_IF_ERROR(CheckRemoteCriu(request.criu()));
  if (request.pid() != 0 && request.cgroup().empty()) {
    return absl::InvalidArgumentError("name the job by its cgroup");
  }
  v1::CheckRequest placed = request;
  std::vector<std::string> paths;
  if (!request.cgroup().empty()) {
    CKPT_ASSIGN_OR_RETURN(const GroupPlace place,
                          work_.Find(request.cgroup(), request.hierarchy()));
    placed.set_cgroup(place.directory);
    paths.push_back(place.path);
  } else if (request.has_needs()) {
    const std::string& into = request.into_cgroup().empty()
                                  ? request.needs().cgroup()
                                  : request.into_cgroup();
    CKPT_ASSIGN_OR_RETURN(const GroupPlace place,
                          work_.PlaceFor(into, request.hierarchy()));
    placed.set_into_cgroup(place.directory);
    paths.push_back(place.path);
  }
  CKPT_RETURN_IF_ERROR(gate_.Admit(caller, CHECK, paths, request.cgroup()));
  return work_.Check(placed, cancel);
}

absl::StatusOr<v1::Operation> JobDesk::Dump(
    const Caller& caller, const v1::DumpOperationRequest& request) {
  v1::DumpRequest dump = request.request();
  CKPT_RETURN_IF_ERROR(gate_.AdmitVerb(caller, DUMP, dump.cgroup()));
  CKPT_RETURN_IF_ERROR(CheckDump(dump));
  // The group of one that has ended may be gone.
  const auto known = operations_.Get(request.operation_id());
  CKPT_ASSIGN_OR_RETURN(const GroupPlace place,
                        known.ok()
                            ? work_.PlaceOf(known->cgroup())
                            : work_.Find(dump.cgroup(), dump.hierarchy()));
  CKPT_RETURN_IF_ERROR(gate_.Admit(caller, DUMP, {place.path}, dump.image()));
  v1::Operation wanted;
  wanted.set_id(request.operation_id());
  wanted.set_caller(caller.name);
  wanted.set_cgroup(place.directory);
  *wanted.mutable_dump_request() = dump;
  dump.set_cgroup(place.directory);
  return operations_.Start(wanted, [&]() -> absl::StatusOr<Operations::Work> {
    CKPT_ASSIGN_OR_RETURN(
        const auto claim,
        claims_.Take({place.directory},
                     absl::StrCat("the dump of operation ", wanted.id())));
    return [this, claim, dump](const Operations::Running& running) {
      return work_.Dump(dump, running);
    };
  });
}

absl::StatusOr<GroupPlace> JobDesk::Destination(
    const v1::RestoreRequest& request) {
  if (!request.cgroup().empty()) {
    return work_.PlaceFor(request.cgroup(), request.hierarchy());
  }
  CKPT_ASSIGN_OR_RETURN(const v1::ManifestJob job,
                        work_.JobOf(request.image()));
  if (job.cgroup().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("image ", request.image(),
                     " is of a job without a cgroup of its own: name one; "
                     "nothing was started"));
  }
  return work_.PlaceFor(job.cgroup(),
                        request.hierarchy() == v1::HIERARCHY_UNSPECIFIED
                            ? static_cast<v1::Hierarchy>(job.hierarchy())
                            : request.hierarchy());
}

absl::Status JobDesk::CheckOrigin(const Caller& caller,
                                  const v1::RestoreRequest& request) {
  if (gate_.MaySee(caller, RESTORE, "/")) return absl::OkStatus();
  CKPT_ASSIGN_OR_RETURN(const ImageOrigin origin,
                        work_.OriginOf(request.image()));
  v1::CriuOptions options;
  options.set_root(origin.options.root());
  *options.mutable_external() = origin.options.external();
  absl::string_view what;
  if (!CheckRemoteCriu(options).ok()) {
    what = "was made with --root or --external for files of a node";
  } else if (origin.arrived &&
             request.output_policy() == v1::OUTPUT_POLICY_TRUNCATE) {
    what = "was sent by another node, which says what files to cut";
  } else {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(absl::StrCat(
      "image ", request.image(), " ", what, ": that is for a caller with ",
      "RESTORE of cgroup /, or for a ckpt on the node itself; nothing was "
      "started"));
}

absl::StatusOr<v1::Operation> JobDesk::Restore(
    const Caller& caller, const v1::RestoreOperationRequest& request) {
  v1::RestoreRequest restore = request.request();
  CKPT_RETURN_IF_ERROR(gate_.AdmitVerb(caller, RESTORE, restore.image()));
  CKPT_RETURN_IF_ERROR(CheckRestore(restore));
  v1::Operation wanted;
  wanted.set_id(request.operation_id());
  wanted.set_caller(caller.name);
  *wanted.mutable_restore_request() = restore;
  const auto known = operations_.Get(request.operation_id());
  std::vector<std::string> paths;
  GroupPlace place;
  if (known.ok()) {
    CKPT_ASSIGN_OR_RETURN(place, work_.PlaceOf(known->cgroup()));
  } else {
    CKPT_ASSIGN_OR_RETURN(place, Destination(restore));
    CKPT_ASSIGN_OR_RETURN(const std::string origin,
                          PathOfImage(restore.image()));
    paths.push_back(origin);
  }
  paths.push_back(place.path);
  CKPT_RETURN_IF_ERROR(gate_.Admit(caller, RESTORE, paths, restore.image()));
  if (!known.ok()) CKPT_RETURN_IF_ERROR(CheckOrigin(caller, restore));
  wanted.set_cgroup(place.directory);
  restore.set_cgroup(place.directory);
  return operations_.Start(wanted, [&]() -> absl::StatusOr<Operations::Work> {
    CKPT_ASSIGN_OR_RETURN(
        const auto claim,
        claims_.Take({place.directory},
                     absl::StrCat("the restore of operation ", wanted.id())));
    return [this, claim, restore](const Operations::Running& running) {
      return work_.Restore(restore, running);
    };
  });
}

absl::StatusOr<std::string> JobDesk::PathOfImage(const std::string& image) {
  const auto job = work_.JobOf(image);
  if (absl::IsNotFound(job.status()) || absl::IsInvalidArgument(job.status())) {
    return job.status();
  }
  return job.ok() ? job->cgroup() : "";
}

absl::Status JobDesk::AdmitImage(const Caller& caller, Verb verb,
                                 const std::string& image) {
  CKPT_RETURN_IF_ERROR(gate_.AdmitVerb(caller, verb, image));
  CKPT_RETURN_IF_ERROR(CheckImageName(image));
  CKPT_ASSIGN_OR_RETURN(const std::string path, PathOfImage(image));
  return gate_.Admit(caller, verb, {path}, image);
}

absl::StatusOr<v1::ImageListReport> JobDesk::ListImages(const Caller& caller) {
  CKPT_RETURN_IF_ERROR(gate_.Admit(caller, LIST, {}, ""));
  CKPT_ASSIGN_OR_RETURN(const v1::ImageListReport all, work_.List());
  v1::ImageListReport seen;
  for (const v1::ImageReport& image : all.images()) {
    if (gate_.MaySee(caller, LIST, image.manifest().job().cgroup())) {
      *seen.add_images() = image;
    }
  }
  // Nothing tells yet of which group they are.
  if (gate_.MaySee(caller, LIST, "")) {
    *seen.mutable_arriving() = all.arriving();
  }
  return seen;
}

absl::StatusOr<v1::ImageReport> JobDesk::GetImage(
    const Caller& caller, const v1::ImageRequest& request) {
  CKPT_RETURN_IF_ERROR(AdmitImage(caller, SHOW, request.image()));
  return work_.Get(request.image());
}

absl::StatusOr<v1::VerifyReport> JobDesk::VerifyImage(
    const Caller& caller, const v1::ImageRequest& request,
    const Cancellation& cancel) {
  CKPT_RETURN_IF_ERROR(AdmitImage(caller, VERIFY, request.image()));
  return work_.Verify(request.image(), cancel);
}

absl::StatusOr<v1::RemoveReport> JobDesk::RemoveImage(
    const Caller& caller, const v1::ImageRequest& request) {
  CKPT_RETURN_IF_ERROR(AdmitImage(caller, REMOVE, request.image()));
  return work_.Remove(request.image());
}

absl::StatusOr<v1::PinReport> JobDesk::PinImage(
    const Caller& caller, const v1::PinImageRequest& request) {
  CKPT_RETURN_IF_ERROR(AdmitImage(caller, PIN, request.image()));
  return work_.Pin(request.image(), request.pinned());
}

absl::StatusOr<v1::Operation> JobDesk::AdmitOperation(const Caller& caller,
                                                      Verb verb,
                                                      const std::string& id) {
  CKPT_RETURN_IF_ERROR(gate_.AdmitVerb(caller, verb, id));
  CKPT_ASSIGN_OR_RETURN(v1::Operation operation, operations_.Get(id));
  CKPT_ASSIGN_OR_RETURN(const GroupPlace place,
                        work_.PlaceOf(operation.cgroup()));
  CKPT_RETURN_IF_ERROR(gate_.Admit(caller, verb, {place.path}, id));
  return operation;
}

absl::StatusOr<v1::Operation> JobDesk::GetOperation(
    const Caller& caller, const v1::OperationRequest& request) {
  return AdmitOperation(caller, OPERATIONS, request.operation_id());
}

absl::StatusOr<v1::OperationList> JobDesk::ListOperations(
    const Caller& caller) {
  CKPT_RETURN_IF_ERROR(gate_.Admit(caller, OPERATIONS, {}, ""));
  v1::OperationList all = operations_.List();
  v1::OperationList seen;
  for (v1::Operation& operation : *all.mutable_operations()) {
    const auto place = work_.PlaceOf(operation.cgroup());
    if (place.ok() && gate_.MaySee(caller, OPERATIONS, place->path)) {
      *seen.add_operations() = std::move(operation);
    }
  }
  return seen;
}

absl::StatusOr<v1::Operation> JobDesk::CancelOperation(
    const Caller& caller, const v1::OperationRequest& request) {
  CKPT_RETURN_IF_ERROR(
      AdmitOperation(caller, CANCEL, request.operation_id()).status());
  return operations_.Cancel(request.operation_id());
}

}  // namespace ckpt::agent
