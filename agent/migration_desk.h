// Where requests about migrations are taken, of callers and of the agents of
// other nodes: admits them, and has them done by Migrations.
//
//   CKPT_ASSIGN_OR_RETURN(v1::Operation operation,
//                         desk.Migrate(caller, request));
//
// Errors: PermissionDenied; InvalidArgument for what is not for remote callers;
// those of Operations and Migrations.
//
// Thread-safe.  Borrows all for its lifetime.
#ifndef CKPT_AGENT_MIGRATION_DESK_H_
#define CKPT_AGENT_MIGRATION_DESK_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/caller.h"
#include "agent/gate.h"
#include "agent/group_claims.h"
#include "agent/migrations.h"
#include "agent/operations.h"
#include "agent/work.h"
#include "proto/agent.pb.h"
#include "proto/peer.pb.h"

namespace ckpt::agent {

class MigrationDesk {
 public:
  MigrationDesk(const Gate& gate, GroupClaims& claims, Operations& operations,
                JobWork& work, Migrations& migrations)
      : gate_(gate),
        claims_(claims),
        operations_(operations),
        work_(work),
        migrations_(migrations) {}

  absl::StatusOr<v1::Operation> Migrate(
      const Caller& caller, const v1::MigrateOperationRequest& request);
  absl::StatusOr<v1::Operation> Continue(const Caller& caller,
                                         const v1::OperationRequest& request);
  absl::StatusOr<v1::MigrationRecord> Get(const Caller& caller,
                                          const v1::OperationRequest& request);
  absl::StatusOr<v1::MigrationRecord> Decide(
      const Caller& caller, const v1::DecideMigrationRequest& request);

  // Of the other node.
  absl::StatusOr<v1::PeerPrepared> Prepare(const Caller& caller,
                                           const v1::PeerPrepare& request);
  absl::StatusOr<v1::PeerDone> Hold(const Caller& caller,
                                    const v1::PeerMigration& request);
  absl::StatusOr<v1::PeerReleased> Release(const Caller& caller,
                                           const v1::PeerMigration& request);
  absl::StatusOr<v1::PeerDone> Abort(const Caller& caller,
                                     const v1::PeerPrepare& request);
  absl::StatusOr<v1::PeerDecided> Answer(const Caller& caller,
                                         const v1::PeerMigration& request);

 private:
  // Those that the job leaves, and that it is to be in.
  absl::StatusOr<std::vector<std::string>> PathsOf(
      const v1::MigrateRequest& request, const GroupPlace& from);
  absl::StatusOr<v1::MigrationRecord> AdmitRecord(const Caller& caller,
                                                  Verb verb,
                                                  const std::string& id);
  // A record as it is to be here; its group is admitted.
  absl::StatusOr<v1::MigrationRecord> AdmitArrival(
      const Caller& caller, const v1::PeerPrepare& request);

  const Gate& gate_;
  GroupClaims& claims_;
  Operations& operations_;
  JobWork& work_;
  Migrations& migrations_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_MIGRATION_DESK_H_
