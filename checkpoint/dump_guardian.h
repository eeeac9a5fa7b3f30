// The guardian of a dump: what is to be done with the job if this process dies
// (docs/life_of_a_dump.md).
#ifndef CKPT_CHECKPOINT_DUMP_GUARDIAN_H_
#define CKPT_CHECKPOINT_DUMP_GUARDIAN_H_

#include <memory>

#include "absl/status/statusor.h"
#include "base/last_will.h"
#include "checkpoint/asker_group.h"
#include "checkpoint/hand_over.h"
#include "checkpoint/held_group.h"
#include "criu/session.h"

namespace ckpt::checkpoint {

// All borrowed for the call.
struct GuardedDump {
  const criu::Session& criu;
  HeldGroup* held = nullptr;             // null with no_freezer
  const JoinedProcess* asker = nullptr;  // to be moved back
  // While the job is handed over: both, or none.
  const HandOver* over = nullptr;
  const LeavingTree* leaving = nullptr;
};

// Armed.  It gives the job back, unless that was handed over: then it ends it.
// Errors of LastWill::Arm(), and of opening the group's files.
absl::StatusOr<std::unique_ptr<LastWill>> ArmDumpGuardian(
    const GuardedDump& dump);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_DUMP_GUARDIAN_H_
