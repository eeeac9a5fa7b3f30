// The states of a migration at its two nodes, as data: which may follow which,
// and when.  docs/migration.md prints the table.
//
//   CKPT_RETURN_IF_ERROR(CheckTransition(record.state(), next));
//
// Thread-safe.
#ifndef CKPT_MIGRATE_STATES_H_
#define CKPT_MIGRATE_STATES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "proto/migration.pb.h"

namespace ckpt::migrate {

struct Transition {
  v1::MigrationState from;  // unspecified: there was no record
  v1::MigrationState to;
  const char* when;
};

const std::vector<Transition>& Transitions();

// Internal: the table has no such line.
absl::Status CheckTransition(v1::MigrationState from, v1::MigrationState to);

// "READY"
std::string StateName(v1::MigrationState state);

// At the source; otherwise at the destination.
bool IsOfSource(v1::MigrationState state);

// At the destination: the job is its own for good.
bool IsTaken(v1::MigrationState state);

// Nothing is left to be done, nor to be asked.
bool IsFinal(v1::MigrationState state);

// How long a migration may take up to its decision.
absl::Duration DecisionLimit(const v1::MigrateRequest& request);

}  // namespace ckpt::migrate

#endif  // CKPT_MIGRATE_STATES_H_
