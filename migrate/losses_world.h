// Two nodes, a job and the wires between them, all of them fakes with state, in
// which anything may be lost at any step of a migration.
//
//   LossesWorld world({{.fault = Fault::kKillSource, .step = 17}});
//   world.Migrate();
//   world.Settle();
//   EXPECT_EQ(world.problem(), "");
//
// A step is the moment before or after anything that a node does: writes to its
// journal, works on the job, sends or gets a message.  A node that was killed
// does nothing any more: all calls fail and change nothing, until Settle()
// starts it again.  Not thread-safe.
#ifndef CKPT_MIGRATE_LOSSES_WORLD_H_
#define CKPT_MIGRATE_LOSSES_WORLD_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proto/migration.pb.h"

namespace ckpt::migrate {

enum class Fault {
  kKillSource,       // the agent: its guardian does what is left to be done
  kKillDestination,  // the same: what is held dies
  kKillBoth,
  // Agent, guardian and CRIU at once: what they held stands still.
  kStrikeSource,
  kStrikeDestination,
  // The kernel, and all tasks with it; a log that no fsync() has covered, too.
  kEndSourceNode,
  kEndDestinationNode,
  kLose,  // a message
  kFail,  // a write to a journal, a dump, a restore
  // The destination hears nothing of the source for a day, and looks at what it
  // has when it is not at work.
  kSilence,
};
inline constexpr Fault kFaults[] = {Fault::kKillSource,
                                    Fault::kKillDestination,
                                    Fault::kKillBoth,
                                    Fault::kStrikeSource,
                                    Fault::kStrikeDestination,
                                    Fault::kEndSourceNode,
                                    Fault::kEndDestinationNode,
                                    Fault::kLose,
                                    Fault::kFail,
                                    Fault::kSilence};

struct PlannedFault {
  Fault fault;
  int step;
};

class LossesWorld {
 public:
  enum Side { kSource, kDestination };

  explicit LossesWorld(const std::vector<PlannedFault>& plan);
  ~LossesWorld();

  struct Knobs {
    // Called when only the decision is missing.
    std::function<void()> pause = nullptr;
    // CRIU dies while it holds the job there, and nothing is built there again.
    bool spoiled = false;
    // From the decision on the source's journal takes nothing.
    bool full_after_decision = false;
    // The source's decision cannot be read.
    bool unreadable = false;
    // Not turned, but told: the destination's when Fault::kSilence struck.
    v1::MigrationState silent_in = v1::MIGRATION_STATE_UNSPECIFIED;
  };
  Knobs& knobs();

  // A migration from its request to whatever ends it.
  void Migrate();
  // Both nodes come back as often as they die, and work on what is left.  An
  // operator decides what nobody else can: to keep what has not run.
  void Settle();

  // "", or the first thing that must not be.
  const std::string& problem() const;
  const absl::Status& result() const;
  int steps() const;
  bool runs_at(Side side) const;
  // The migration's; unspecified when there is no record.
  v1::MigrationState state_at(Side side) const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ckpt::migrate

#endif  // CKPT_MIGRATE_LOSSES_WORLD_H_
