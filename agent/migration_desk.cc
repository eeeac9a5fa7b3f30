#include "agent/migration_desk.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/job_desk.h"
#include "base/host.h"
#include "base/status.h"
#include "migrate/states.h"
#include "store/leftovers.h"

namespace ckpt::agent {
namespace {

// Nobody guesses it.
constexpr size_t kGenerationBytes = 16;

absl::Status CheckRequest(const v1::MigrateRequest& request) {
  if (request.cgroup().empty()) {
    return absl::InvalidArgumentError(
        "name the job by its cgroup; nothing was touched");
  }
  if (request.to().empty()) {
    return absl::InvalidArgumentError(
        "name the node that the job is to go to; nothing was touched");
  }
  if (absl::StrContains(request.image(), '/')) {
    return absl::InvalidArgumentError(
        "the image of a migration is a name, not a path; nothing was touched");
  }
  return CheckRemoteCriu(request.criu());
}

v1::MigrationRecord NewRecord(const std::string& id, const GroupPlace& place,
                              const v1::MigrateRequest& request) {
  v1::MigrationRecord record;
  record.set_format_version(migrate::kRecordVersion);
  record.set_id(id);
  record.set_generation(absl::BytesToHexString(RandomBytes(kGenerationBytes)));
  record.set_peer(request.to());
  record.set_peer_name(request.to());
  *record.mutable_request() = request;
  record.mutable_request()->set_cgroup(place.path);
  record.mutable_request()->set_hierarchy(place.hierarchy);
  if (request.to_cgroup().empty()) {
    record.mutable_request()->set_to_cgroup(place.path);
  }
  record.set_cgroup(place.directory);
  record.set_hierarchy(place.hierarchy);
  record.set_image(request.image().empty() ? absl::StrCat("migration-", id)
                                           : request.image());
  record.set_boot_id(BootId());
  return record;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> MigrationDesk::PathsOf(
    const v1::MigrateRequest& request, const GroupPlace& from) {
  std::vector<std::string> paths = {from.path};
  if (request.to_cgroup().empty()) return paths;
  CKPT_ASSIGN_OR_RETURN(
      const GroupPlace to,
      work_.PlaceFor(request.to_cgroup(), request.hierarchy()));
  if (to.path != from.path) paths.push_back(to.path);
  return paths;
}

absl::StatusOr<v1::Operation> MigrationDesk::Migrate(
    const Caller& caller, const v1::MigrateOperationRequest& request) {
  const v1::MigrateRequest& asked = request.request();
  CKPT_RETURN_IF_ERROR(gate_.AdmitVerb(caller, MIGRATE, asked.cgroup()));
  CKPT_RETURN_IF_ERROR(CheckRequest(asked));
  if (!caller.uid.has_value() && absl::StartsWith(asked.to(), "unix:")) {
    return absl::InvalidArgumentError(
        "a socket of this node is no destination for a caller of another "
        "machine; nothing was touched");
  }
  // The group of one that has ended may be gone.
  const auto known = operations_.Get(request.operation_id());
  CKPT_ASSIGN_OR_RETURN(const GroupPlace place,
                        known.ok()
                            ? work_.PlaceOf(known->cgroup())
                            : work_.Find(asked.cgroup(), asked.hierarchy()));
  // The other node knows this one, and not the caller.
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> paths,
                        PathsOf(asked, place));
  CKPT_RETURN_IF_ERROR(gate_.Admit(caller, MIGRATE, paths, asked.to()));
  v1::Operation wanted;
  wanted.set_id(request.operation_id());
  wanted.set_caller(caller.name);
  wanted.set_cgroup(place.directory);
  *wanted.mutable_migrate_request() = asked;
  return operations_.Start(wanted, [&]() -> absl::StatusOr<Operations::Work> {
    CKPT_ASSIGN_OR_RETURN(
        const auto claim,
        claims_.Take({place.directory},
                     absl::StrCat("the migration of operation ", wanted.id())));
    const v1::MigrationRecord record = NewRecord(wanted.id(), place, asked);
    return [this, claim, record](const Operations::Running& running) {
      auto report = migrations_.Run(
          record, {.cancel = running.cancel,
                   .on_state =
                       [&running](const v1::MigrationRecord& now) {
                         running.change([&now](v1::Operation& operation) {
                           operation.set_migration_state(now.state());
                         });
                       },
                   .on_progress =
                       [&running](v1::Phase phase,
                                  const v1::OperationProgress& progress) {
                         running.change([&](v1::Operation& operation) {
                           operation.set_phase(phase);
                           *operation.mutable_progress() = progress;
                         });
                       }});
      CKPT_RETURN_IF_ERROR(report.status());
      report->set_from(ReadHostInfo().node_name);
      *running.result->mutable_migrate_report() = *std::move(report);
      return absl::OkStatus();
    };
  });
}

absl::StatusOr<v1::MigrationRecord> MigrationDesk::AdmitRecord(
    const Caller& caller, Verb verb, const std::string& id) {
  CKPT_RETURN_IF_ERROR(gate_.AdmitVerb(caller, verb, id));
  auto record = migrations_.Find(id);
  if (absl::IsNotFound(record.status())) {
    return absl::NotFoundError(
        absl::StrCat("this node knows of no migration ", id));
  }
  CKPT_RETURN_IF_ERROR(record.status());
  CKPT_ASSIGN_OR_RETURN(const GroupPlace place,
                        work_.PlaceOf(record->cgroup()));
  CKPT_RETURN_IF_ERROR(gate_.Admit(caller, verb, {place.path}, id));
  return record;
}

absl::StatusOr<v1::Operation> MigrationDesk::Continue(
    const Caller& caller, const v1::OperationRequest& request) {
  CKPT_RETURN_IF_ERROR(
      AdmitRecord(caller, MIGRATE, request.operation_id()).status());
  CKPT_RETURN_IF_ERROR(migrations_.Continue(request.operation_id()));
  return operations_.Get(request.operation_id());
}

absl::StatusOr<v1::MigrationRecord> MigrationDesk::Get(
    const Caller& caller, const v1::OperationRequest& request) {
  CKPT_ASSIGN_OR_RETURN(
      v1::MigrationRecord record,
      AdmitRecord(caller, OPERATIONS, request.operation_id()));
  record.clear_generation();  // a secret of the two nodes
  return record;
}

absl::StatusOr<v1::MigrationRecord> MigrationDesk::Decide(
    const Caller& caller, const v1::DecideMigrationRequest& request) {
  CKPT_RETURN_IF_ERROR(
      AdmitRecord(caller, MIGRATE, request.operation_id()).status());
  if (request.keep() == request.drop()) {
    return absl::InvalidArgumentError(
        "say whether the job is this node's: keep, or drop; one of both");
  }
  CKPT_RETURN_IF_ERROR(
      migrations_.Decide(request.operation_id(), request.keep()));
  v1::OperationRequest id;
  id.set_operation_id(request.operation_id());
  return Get(caller, id);
}

absl::StatusOr<v1::MigrationRecord> MigrationDesk::AdmitArrival(
    const Caller& caller, const v1::PeerPrepare& request) {
  v1::MigrationRecord record = request.record();
  const v1::MigrateRequest& asked = record.request();
  CKPT_RETURN_IF_ERROR(gate_.AdmitVerb(caller, RECEIVE, asked.to_cgroup()));
  if (!caller.clients.empty() && absl::StartsWith(request.source(), "unix:")) {
    return absl::InvalidArgumentError(
        "a socket of the source's machine is no name by which it is reached "
        "from here; nothing was done");
  }
  CKPT_RETURN_IF_ERROR(CheckRequest(asked));
  if (record.generation().empty() || record.image().empty() ||
      absl::StrContains(record.image(), '/')) {
    return absl::InvalidArgumentError(
        "a migration has a generation and the name of an image; nothing was "
        "touched");
  }
  CKPT_ASSIGN_OR_RETURN(const GroupPlace place,
                        work_.PlaceFor(asked.to_cgroup(), asked.hierarchy()));
  CKPT_RETURN_IF_ERROR(
      gate_.Admit(caller, RECEIVE, {place.path}, record.image()));
  record.set_peer(request.source());
  record.set_peer_name(request.source());
  record.set_cgroup(place.directory);
  record.set_boot_id(BootId());
  record.set_reserved_by(caller.name);
  record.clear_network_lock();  // nothing of ours is locked by it
  return record;
}

absl::StatusOr<v1::PeerPrepared> MigrationDesk::Prepare(
    const Caller& caller, const v1::PeerPrepare& request) {
  CKPT_ASSIGN_OR_RETURN(const v1::MigrationRecord record,
                        AdmitArrival(caller, request));
  CKPT_RETURN_IF_ERROR(migrations_.Prepare(record));
  v1::PeerPrepared prepared;
  prepared.set_node_name(ReadHostInfo().node_name);
  return prepared;
}

absl::StatusOr<v1::PeerDone> MigrationDesk::Abort(
    const Caller& caller, const v1::PeerPrepare& request) {
  CKPT_ASSIGN_OR_RETURN(const v1::MigrationRecord record,
                        AdmitArrival(caller, request));
  CKPT_RETURN_IF_ERROR(migrations_.Abort(record));
  return v1::PeerDone();
}

absl::StatusOr<v1::PeerDone> MigrationDesk::Hold(
    const Caller& caller, const v1::PeerMigration& request) {
  CKPT_RETURN_IF_ERROR(AdmitRecord(caller, RECEIVE, request.id()).status());
  CKPT_RETURN_IF_ERROR(migrations_.Hold(request.id(), request.generation()));
  return v1::PeerDone();
}

absl::StatusOr<v1::PeerReleased> MigrationDesk::Release(
    const Caller& caller, const v1::PeerMigration& request) {
  CKPT_RETURN_IF_ERROR(AdmitRecord(caller, RECEIVE, request.id()).status());
  v1::PeerReleased released;
  CKPT_ASSIGN_OR_RETURN(
      *released.mutable_report(),
      migrations_.Release(request.id(), request.generation()));
  return released;
}

absl::StatusOr<v1::PeerDecided> MigrationDesk::Answer(
    const Caller&, const v1::PeerMigration& request) {
  v1::MigrationRecord asked;
  asked.set_id(request.id());
  asked.set_generation(request.generation());
  v1::PeerDecided decided;
  CKPT_ASSIGN_OR_RETURN(const v1::MigrationDecision decision,
                        migrations_.Answer(asked));
  decided.set_decision(decision);
  return decided;
}

}  // namespace ckpt::agent
