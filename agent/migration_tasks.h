// The tasks that a migration has written down: told from later ones of the same
// numbers, so that nothing else is ever killed in their place.
//
//   CKPT_ASSIGN_OR_RETURN(auto tasks, TasksIn(*group));
//   ... record.tasks, by this agent or a later one ...
//   KillTasks(record.tasks());
//   if (!AnyIsAlive(record.tasks())) ...
//
// Of the kernel that runs now: record.boot_id is the caller's business.
#ifndef CKPT_AGENT_MIGRATION_TASKS_H_
#define CKPT_AGENT_MIGRATION_TASKS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "freezer/cgroup.h"
#include "google/protobuf/repeated_field.h"
#include "proto/migration.pb.h"

namespace ckpt::agent {

using MigrationTasks = google::protobuf::RepeatedPtrField<v1::MigrationTask>;

// All of a group and of those below it; who ends meanwhile is left out.
absl::StatusOr<std::vector<v1::MigrationTask>> TasksIn(freezer::Cgroup& group);

// Zombies are not.
bool IsAlive(const v1::MigrationTask& task);
bool AnyIsAlive(const MigrationTasks& tasks);

// SIGKILL to each that is alive.  Those of a frozen v1 group end when it is
// thawed.
void KillTasks(const MigrationTasks& tasks);

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_MIGRATION_TASKS_H_
